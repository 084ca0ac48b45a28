/*
 * relay: the physical limit. Copies bytes between two sockets with read and write and a 1 MiB buffer, and knows no HTTP.
 *
 *   relay PORT SOCKET_PATH [NANOSECONDS]
 *
 * NANOSECONDS is how long it computes over each message that it has read: what CPU time alone does to latency.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static char buffer[1 << 20];

struct end {
  int fd;
  struct end *other, *next_dead;
  char *held; /* what the other end could not take yet; this one is not read meanwhile */
  size_t held_at, held_size;
  int ended;
};

static int poller;
static long busy;

static long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void compute(void) {
  for (long until = now() + busy; now() < until;) continue;
}

static void watch(struct end *end, int op) {
  uint32_t events = (end->held || end->ended ? 0 : EPOLLIN) | (end->other->held ? EPOLLOUT : 0);
  epoll_ctl(poller, op, end->fd, &(struct epoll_event){.events = events, .data.ptr = end});
}

static int rewatch(struct end *end) {
  watch(end, EPOLL_CTL_MOD);
  watch(end->other, EPOLL_CTL_MOD);
  return 0;
}

/* Copies once. Like `give`, returns -1 when the pair is finished. */
static int copy(struct end *from) {
  ssize_t got = read(from->fd, buffer, sizeof buffer);
  if (got < 0) return errno == EAGAIN ? 0 : -1;
  if (got == 0) {
    from->ended = 1;
    shutdown(from->other->fd, SHUT_WR);
    return from->other->ended ? -1 : rewatch(from);
  }
  if (busy) compute();
  ssize_t put = write(from->other->fd, buffer, (size_t)got);
  if (put == got) return 0;
  if (put < 0 && errno != EAGAIN) return -1;
  if (put < 0) put = 0;
  from->held_at = 0;
  from->held_size = (size_t)(got - put);
  from->held = memcpy(malloc(from->held_size), buffer + put, from->held_size);
  return rewatch(from);
}

static int give(struct end *to) {
  struct end *from = to->other;
  ssize_t put = write(to->fd, from->held + from->held_at, from->held_size - from->held_at);
  if (put < 0) return errno == EAGAIN ? 0 : -1;
  if ((from->held_at += (size_t)put) < from->held_size) return 0;
  free(from->held);
  from->held = NULL;
  return rewatch(to);
}

static void join(int client, const char *path) {
  struct end *a = calloc(1, sizeof *a), *b = calloc(1, sizeof *b);
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  strncpy(name.sun_path, path, sizeof name.sun_path - 1);
  *a = (struct end){.fd = client, .other = b};
  *b = (struct end){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), .other = a};
  setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
  watch(a, EPOLL_CTL_ADD);
  if (connect(b->fd, (struct sockaddr *)&name, sizeof name)) shutdown(client, SHUT_RDWR);
  watch(b, EPOLL_CTL_ADD);
}

/* Closes a pair; its memory goes after the events at hand, which may still name it. */
static struct end *part(struct end *end, struct end *dead) {
  close(end->fd);
  close(end->other->fd);
  end->fd = end->other->fd = -1;
  end->next_dead = dead;
  return end;
}

static struct end *forget(struct end *dead) {
  struct end *next = dead->next_dead;
  free(dead->held);
  free(dead->other->held);
  free(dead->other);
  free(dead);
  return next;
}

int main(int argc, char **argv) {
  if (argc != 3 && argc != 4) return 2;
  if (argc == 4) busy = atol(argv[3]);
  signal(SIGPIPE, SIG_IGN);
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  name.sin_port = htons((uint16_t)atoi(argv[1]));
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
  if (bind(listener, (struct sockaddr *)&name, sizeof name) || listen(listener, 4096)) return 1;
  poller = epoll_create1(0);
  epoll_ctl(poller, EPOLL_CTL_ADD, listener, &(struct epoll_event){.events = EPOLLIN});
  for (struct end *dead = NULL;;) {
    struct epoll_event events[64];
    int n = epoll_wait(poller, events, 64, -1);
    for (int i = 0; i < n; i++) {
      struct end *end = events[i].data.ptr;
      if (!end) {
        for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) join(fd, argv[2]);
        continue;
      }
      if (end->fd < 0) continue;
      int going = events[i].events & EPOLLOUT && end->other->held ? give(end) : copy(end);
      if (going < 0) dead = part(end, dead);
    }
    while (dead) dead = forget(dead);
  }
}
