/*
 * engine: stands behind every contender; answers what a bench asks, with dockerd's heads, as fast as one thread can.
 *
 *   engine unix:PATH tcp:PORT
 *
 *   GET  /_ping, /containers/json             small answers; the list is 3,072 bytes in one chunk, as dockerd sends it
 *   GET  /containers/ID/logs                  one frame at once, then silence
 *   GET  /images/bench-BYTES-length|chunked/get   bulk
 *   POST /images/load                         reads everything
 *   POST /containers/create                   reads the body, answers 201
 *   POST /containers/ID/attach                101, then an echo
 */
#define _GNU_SOURCE
#include "wire.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX 65536
#define ECHO_BYTES (1 << 18)
#define LIST_BYTES 3072

struct conn {
  int fd, listens, is_tcp, hijacked, ended;
  char *in;
  size_t in_size;
  struct body body; /* of the request, while one is being read */
  int reading_body, load;
  char out[8192];
  size_t out_at, out_size;
  uint64_t bulk_at, bulk_size; /* wire bytes of a bulk answer */
  struct stock *bulk;
  char *echo;
  size_t echo_at, echo_size;
  uint32_t wants;
};

static int poller;
static struct stock plain, chunked;
static char list[LIST_BYTES + 1];
static char scratch[ECHO_BYTES];

static void make_list(void) {
  const char *one =
      "{\"Id\":\"%064d\",\"Names\":[\"/project-service-%d\"],\"Image\":\"busybox:latest\",\"ImageID\":\"sha256:%064d\","
      "\"Command\":\"httpd -f -p 8080\",\"Created\":1763000000,\"Ports\":[{\"IP\":\"0.0.0.0\",\"PrivatePort\":8080,"
      "\"PublicPort\":3276%d,\"Type\":\"tcp\"}],\"Labels\":{\"com.docker.compose.project\":\"project\","
      "\"com.docker.compose.service\":\"service\"},\"State\":\"running\",\"Status\":\"Up 2 hours\","
      "\"HostConfig\":{\"NetworkMode\":\"bridge\"},\"Mounts\":[]}";
  size_t at = (size_t)sprintf(list, "[");
  for (int i = 0; i < 5; i++) at += (size_t)sprintf(list + at, i ? "," : "") + (size_t)sprintf(list + at + (i > 0), one, i, i, i, i);
  memset(list + at, ' ', LIST_BYTES - at);
  memcpy(list + LIST_BYTES - 2, "]\n", 2);
}

static const char *date(void) {
  static time_t when;
  static char text[40];
  time_t now = time(NULL);
  if (now != when) {
    struct tm parts;
    when = now;
    strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &parts));
  }
  return text;
}

static void answer(struct conn *c, const char *status, const char *type, const char *framing, const char *body) {
  c->out_size += (size_t)snprintf(c->out + c->out_size, sizeof c->out - c->out_size,
      "HTTP/1.1 %s\r\nApi-Version: 1.51\r\nContent-Type: %s\r\nDocker-Experimental: false\r\nOstype: linux\r\n"
      "Server: Docker/28.5.2 (linux)\r\nDate: %s\r\n%s\r\n\r\n%s", status, type, date(), framing, body);
}

static void respond(struct conn *c, const char *path) {
  char text[LIST_BYTES + 64];
  unsigned long long bytes;
  char kind[16];
  const char *image = strstr(path, "/images/bench-");
  if (strstr(path, "/_ping"))
    answer(c, "200 OK", "text/plain; charset=utf-8", "Builder-Version: 2\r\nCache-Control: no-cache, no-store, must-revalidate\r\n"
        "Pragma: no-cache\r\nSwarm: inactive\r\nContent-Length: 2", "OK");
  else if (strstr(path, "/containers/json")) {
    sprintf(text, "%x\r\n%s\r\n" LAST_CHUNK, LIST_BYTES, list);
    answer(c, "200 OK", "application/json", "Transfer-Encoding: chunked", text);
  } else if (strstr(path, "/containers/create"))
    answer(c, "201 Created", "application/json", "Content-Length: 88",
        "{\"Id\":\"6c3a1d7f0b0e4a5f9f3c2b1a09d8e7f66c3a1d7f0b0e4a5f9f3c2b1a09d8e7f6\",\"Warnings\":[]}\n");
  else if (strstr(path, "/images/load"))
    answer(c, "200 OK", "application/json", "Transfer-Encoding: chunked", "13\r\n{\"stream\":\"loaded\"}\r\n" LAST_CHUNK);
  else if (strstr(path, "/logs"))
    answer(c, "200 OK", "application/vnd.docker.multiplexed-stream", "Transfer-Encoding: chunked", "10\r\n\1\0\0\0\0\0\0\10");
  else if (strstr(path, "/attach")) {
    c->out_size += (size_t)sprintf(c->out + c->out_size, "HTTP/1.1 101 UPGRADED\r\n"
        "Content-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
    c->hijacked = 1;
    c->echo = malloc(ECHO_BYTES);
  } else if (image && sscanf(image, "/images/bench-%llu-%15[a-z]", &bytes, kind) == 2) {
    int is_chunked = !strcmp(kind, "chunked");
    sprintf(text, is_chunked ? "Transfer-Encoding: chunked" : "Content-Length: %llu", bytes);
    answer(c, "200 OK", "application/x-tar", text, "");
    c->bulk = is_chunked ? &chunked : &plain;
    c->bulk_at = 0;
    c->bulk_size = wire_size(bytes, is_chunked);
  } else
    answer(c, "404 Not Found", "application/json", "Content-Length: 31", "{\"message\":\"page not found\"}   \n");
  if (strstr(path, "/logs")) { /* the frame holds NULs, which printf cannot */
    memcpy(c->out + c->out_size - 1, "\1\0\0\0\0\0\0\10ready..\n\r\n", 18);
    c->out_size += 17;
  }
}

static void want(struct conn *c, uint32_t events) {
  if (c->wants == events) return;
  c->wants = events;
  epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &(struct epoll_event){.events = events, .data.ptr = c});
}

static void drop(struct conn *c) {
  close(c->fd);
  free(c->in);
  free(c->echo);
  free(c);
}

/* Sends what waits to be sent. 1: all gone; 0: the peer is slow; -1: it is dead. */
static int flush(struct conn *c) {
  while (c->out_at < c->out_size || c->bulk) {
    const char *bytes = c->out + c->out_at;
    size_t n = c->out_size - c->out_at;
    if (!n) {
      size_t at = c->bulk_at % c->bulk->size;
      bytes = c->bulk->bytes + at;
      n = c->bulk->size - at;
      if (n > c->bulk_size - c->bulk_at) n = c->bulk_size - c->bulk_at;
    }
    ssize_t sent = n ? send(c->fd, bytes, n, MSG_NOSIGNAL) : 0;
    if (sent < 0) return errno == EAGAIN ? 0 : -1;
    if (c->out_at < c->out_size) c->out_at += (size_t)sent;
    else c->bulk_at += (uint64_t)sent;
    if (c->bulk && c->out_at == c->out_size && c->bulk_at == c->bulk_size) {
      c->out_at = c->out_size = 0;
      if (c->bulk == &chunked) c->out_size = (size_t)sprintf(c->out, LAST_CHUNK);
      c->bulk = NULL;
    }
  }
  c->out_at = c->out_size = 0;
  return 1;
}

/* 1: go on; 0: wait for an event; -1: over. */
static int echo(struct conn *c) {
  if (c->echo_at < c->echo_size) {
    ssize_t sent = send(c->fd, c->echo + c->echo_at, c->echo_size - c->echo_at, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN ? (want(c, EPOLLOUT), 0) : -1;
    c->echo_at += (size_t)sent;
    return 1;
  }
  want(c, EPOLLIN);
  ssize_t got = recv(c->fd, c->echo, ECHO_BYTES, 0);
  if (got <= 0) return got < 0 && errno == EAGAIN ? 0 : -1;
  c->echo_at = 0;
  c->echo_size = (size_t)got;
  return 1;
}

/* Takes request bytes that are in `c->in`. 1 when an answer is ready. */
static int take(struct conn *c) {
  size_t end = head_end(c->in, c->in_size);
  if (!end) return 0;
  c->body = body_of(c->in, end);
  char *line_end = memchr(c->in, '\r', end);
  *line_end = 0;
  size_t rest = c->in_size - end;
  size_t used = body_take(&c->body, c->in + end, rest);
  if (!c->body.done) { /* only the request line is still needed */
    c->reading_body = 1;
    return 0;
  }
  respond(c, c->in);
  memmove(c->in, c->in + end + used, rest - used);
  c->in_size = rest - used;
  return 1;
}

static int read_request(struct conn *c) {
  if (c->reading_body) {
    ssize_t got = recv(c->fd, scratch, sizeof scratch, 0);
    if (got <= 0) return got < 0 && errno == EAGAIN ? 0 : -1;
    body_take(&c->body, scratch, (size_t)got);
    if (c->body.broken) return -1;
    if (!c->body.done) return 1;
    c->reading_body = 0;
    c->in_size = 0;
    respond(c, c->in);
    return 1;
  }
  if (c->in_size == HEAD_MAX) return -1;
  ssize_t got = recv(c->fd, c->in + c->in_size, HEAD_MAX - c->in_size, 0);
  if (got <= 0) return got < 0 && errno == EAGAIN ? 0 : -1;
  c->in_size += (size_t)got;
  int is_small = c->in_size < HEAD_MAX;
  int ready = take(c);
  /* a short read has emptied the socket: the answer goes out, and epoll tells when more comes */
  return ready || c->reading_body ? 1 : is_small ? 0 : 1;
}

/* Ends in at most a few turns of a healthy peer's business, so that nobody starves. */
static int step(struct conn *c) {
  for (int turn = 0; turn < 16; turn++) {
    int pending = c->out_at < c->out_size || c->bulk;
    if (pending) {
      int flushed = flush(c);
      if (flushed <= 0) return flushed < 0 ? -1 : (want(c, EPOLLOUT), 0);
      want(c, EPOLLIN);
      if (!c->hijacked && !c->in_size) return 0;
    }
    int going = c->hijacked ? echo(c) : c->in_size && !c->reading_body && take(c) ? 1 : read_request(c);
    if (going <= 0) return going;
  }
  want(c, EPOLLIN | EPOLLOUT); /* whatever is left comes round again */
  return 0;
}

static struct conn *watch(int fd, int listens, int is_tcp) {
  struct conn *c = calloc(1, sizeof *c);
  c->fd = fd;
  c->listens = listens;
  c->is_tcp = is_tcp;
  c->wants = EPOLLIN;
  if (!listens) c->in = malloc(HEAD_MAX);
  epoll_ctl(poller, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.ptr = c});
  return c;
}

static void welcome(struct conn *listener) {
  int fd;
  while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
    if (listener->is_tcp) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    watch(fd, 0, listener->is_tcp);
  }
}

static void listen_on(const char *address) {
  int is_tcp = !strncmp(address, "tcp:", 4);
  int fd = socket(is_tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  if (is_tcp) in.sin_port = htons((uint16_t)atoi(address + 4));
  else strncpy(un.sun_path, address + 5, sizeof un.sun_path - 1);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
  struct sockaddr *name = is_tcp ? (struct sockaddr *)&in : (struct sockaddr *)&un;
  if (bind(fd, name, is_tcp ? sizeof in : sizeof un) || listen(fd, 4096)) {
    perror(address);
    exit(1);
  }
  watch(fd, 1, is_tcp);
}

int main(int argc, char **argv) {
  signal(SIGPIPE, SIG_IGN);
  umask(0); /* workers of a contender may run as nobody */
  poller = epoll_create1(EPOLL_CLOEXEC);
  plain = make_stock(0);
  chunked = make_stock(1);
  make_list();
  for (int i = 1; i < argc; i++) listen_on(argv[i]);
  for (;;) {
    struct epoll_event events[256];
    int n = epoll_wait(poller, events, 256, -1);
    for (int i = 0; i < n; i++) {
      struct conn *c = events[i].data.ptr;
      if (c->listens) welcome(c);
      else if (step(c) < 0) drop(c);
    }
  }
}
