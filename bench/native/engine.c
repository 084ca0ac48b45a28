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
 *   POST /grpc, or HTTP/2 at once             gRPC: see "calls" below
 */
#define _GNU_SOURCE
#include "h2.h"
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
  struct speaker *speaker; /* once it speaks HTTP/2 */
  uint32_t wants;
};

static int poller;
static struct stock plain, chunked, messages;
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

static void speak(struct conn *c);

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
  } else if (strstr(path, "/grpc")) {
    c->out_size += (size_t)sprintf(c->out + c->out_size, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    speak(c);
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

static void hush(struct conn *c);

static void drop(struct conn *c) {
  close(c->fd);
  free(c->in);
  free(c->echo);
  hush(c);
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

/*
 * === calls ===
 *
 * What the first message of a gRPC call says is done, whatever its method and metadata, which are not read:
 *
 *   "pour BYTES"   that many bytes of messages, then status 0
 *   "sink"         takes everything to its end; answers with how many bytes of it were as they should be
 *   anything else  is sent back, byte for byte, with what follows it
 */
enum role { UNKNOWN, ECHO, POUR, SINK };

struct work {
  enum role role;
  char first[64];
  size_t first_size;
  char held[2 * WINDOW]; /* to be sent back: plenty for clients that wait for an echo */
  size_t held_at, held_size;
  uint64_t at, size; /* of what is poured, or has sunk as it should */
  int is_wrong;
};

struct speaker {
  struct h2 h2;
  struct work *works[CALLS];
};

static struct work **work_of(struct h2 *h, struct call *call) {
  return &((struct speaker *)h)->works[call - h->calls];
}

/* RFC 9113 8.1: the head of an answer, as short as a gRPC client takes it. */
static void call_began(struct h2 *h, struct call *call, const unsigned char *start, size_t n, int is_last) {
  (void)start, (void)n, (void)is_last;
  if (call->is_answered) return;
  char block[64], *end = literal(block, I_STATUS, NULL, "200");
  end = literal(end, I_CONTENT_TYPE, NULL, "application/grpc");
  headers(h, call->id, 0, block, end);
  *work_of(h, call) = calloc(1, sizeof(struct work));
}

static void hold(struct h2 *h, struct work *work, const char *bytes, size_t n) {
  if (work->held_at == work->held_size) work->held_at = work->held_size = 0;
  if (n > sizeof work->held - work->held_size) {
    memmove(work->held, work->held + work->held_at, work->held_size -= work->held_at);
    work->held_at = 0;
  }
  if (n > sizeof work->held - work->held_size) h->broken = "sends more than it may";
  else memcpy(work->held + work->held_size, bytes, n), work->held_size += n;
}

/* Every byte is known: a stock of messages, again and again. */
static void sink(struct work *work, const char *bytes, size_t n) {
  for (size_t at = 0; at < n && !work->is_wrong;) {
    size_t from = work->at % messages.size, size = messages.size - from < n - at ? messages.size - from : n - at;
    if (memcmp(bytes + at, messages.bytes + from, size)) work->is_wrong = 1;
    else work->at += size, at += size;
  }
}

/* Returns how many of the bytes belong to the first message, or to what cannot be told from it yet. */
static size_t first_message(struct h2 *h, struct work *work, const char *bytes, size_t n) {
  size_t before = work->first_size, take = n < sizeof work->first - 1 - before ? n : sizeof work->first - 1 - before;
  memcpy(work->first + before, bytes, take);
  work->first_size += take;
  if (work->first_size < PREFIX) return take;
  size_t end = PREFIX + get_u32((unsigned char *)work->first + 1);
  int is_whole = work->first_size >= end;
  if (!is_whole && work->first_size < sizeof work->first - 1) return take;
  const char *said = work->first + PREFIX;
  unsigned long long size;
  if (is_whole && sscanf(said, "pour %llu", &size) == 1) work->role = POUR, work->size = size;
  else if (is_whole && !strncmp(said, "sink", 4)) work->role = SINK;
  else {
    work->role = ECHO;
    hold(h, work, work->first, work->first_size);
    return take;
  }
  return end - before;
}

static void call_data(struct h2 *h, struct call *call, const char *bytes, size_t n) {
  struct work *work = *work_of(h, call);
  if (!work) return;
  if (work->role == UNKNOWN) {
    size_t used = first_message(h, work, bytes, n);
    bytes += used, n -= used;
  }
  if (work->role == ECHO) hold(h, work, bytes, n);
  if (work->role == SINK) sink(work, bytes, n);
}

static void call_ended(struct h2 *h, struct call *call) {
  struct work *work = *work_of(h, call);
  if (!work || work->role != SINK) return;
  char answer[PREFIX + 8] = {0, 0, 0, 0, 8};
  uint64_t size = work->is_wrong ? 0 : work->at;
  put_u32(answer + PREFIX, (uint32_t)(size >> 32));
  put_u32(answer + PREFIX + 4, (uint32_t)size);
  hold(h, work, answer, sizeof answer);
}

/* Sends what a call has to send and may; ends it when all is said. */
static void work_on(struct h2 *h, struct call *call) {
  struct work *work = *work_of(h, call);
  if (!work) return;
  for (size_t n; work->held_at < work->held_size && (n = may_send(h, call)); work->held_at += n) {
    if (n > work->held_size - work->held_at) n = work->held_size - work->held_at;
    memcpy(data_frame(h, call, n, 0), work->held + work->held_at, n);
  }
  for (size_t n; work->role == POUR && work->at < work->size && (n = may_send(h, call)); work->at += n) {
    size_t from = work->at % messages.size;
    if (n > work->size - work->at) n = work->size - work->at;
    if (n > messages.size - from) n = messages.size - from;
    memcpy(data_frame(h, call, n, 0), messages.bytes + from, n);
  }
  int is_poured = work->role == POUR && work->at == work->size;
  if ((!is_poured && !call->has_ended) || work->held_at < work->held_size || (work->role == POUR && !is_poured)) return;
  if (room(h) < OUT_SPARE) return;
  char block[32], *end = literal(block, 0, "grpc-status", "0");
  headers(h, call->id, END_STREAM, block, end);
  free(work);
  *work_of(h, call) = NULL;
  if (call->has_ended) call->id = 0;
}

static const struct h2_user calls = {call_began, call_data, call_ended};

/* From now on the connection is HTTP/2, and its client's preface is still to come. */
static void speak(struct conn *c) {
  c->speaker = calloc(1, sizeof *c->speaker);
  struct h2 *h = &c->speaker->h2;
  h->user = &calls;
  h->is_server = 1;
  h->preface = PREFACE_BYTES;
  greet(h);
}

static void hush(struct conn *c) {
  for (int i = 0; c->speaker && i < CALLS; i++) free(c->speaker->works[i]);
  free(c->speaker);
}

/* Works on all calls; true where one of them could go on if what is ready had been sent. */
static int work_on_all(struct h2 *h) {
  int has_more = 0;
  for (struct call *call = h->calls; call < h->calls + CALLS; call++) {
    if (!call->id) continue;
    work_on(h, call);
    struct work *work = *work_of(h, call);
    has_more |= work && call->window > 0 && h->window > 0 && (work->held_at < work->held_size || (work->role == POUR && work->at < work->size));
  }
  return has_more;
}

/* 1: go on; 0: wait for an event; -1: over. */
static int converse(struct conn *c) {
  struct h2 *h = &c->speaker->h2;
  if (c->in_size) h2_take(h, c->in, c->in_size);
  c->in_size = 0;
  int has_more = work_on_all(h);
  if (h->out_at < h->out_size) {
    ssize_t sent = send(c->fd, h->out + h->out_at, h->out_size - h->out_at, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return -1;
    if (sent > 0) h->out_at += (size_t)sent;
  }
  if (h->out_at == h->out_size) h->out_at = h->out_size = 0;
  want(c, h->out_size ? EPOLLIN | EPOLLOUT : EPOLLIN);
  ssize_t got = recv(c->fd, scratch, sizeof scratch, 0);
  if (got <= 0) return got < 0 && errno == EAGAIN ? has_more && !h->out_size : -1;
  h2_take(h, scratch, (size_t)got);
  return h->broken ? -1 : 1;
}

/* Takes request bytes that are in `c->in`. 1 when an answer is ready. */
static int take(struct conn *c) {
  if (c->in_size >= PREFACE_BYTES && !memcmp(c->in, PREFACE, PREFACE_BYTES)) return speak(c), 1;
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
      if (!c->hijacked && !c->speaker && !c->in_size) return 0;
    }
    int going = c->hijacked ? echo(c) : c->speaker ? converse(c) : c->in_size && !c->reading_body && take(c) ? 1 : read_request(c);
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
  messages = make_messages();
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
