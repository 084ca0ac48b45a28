/*
 * load: asks one contender, checks every answer, and prints what it saw as one JSON object.
 *
 *   load MODE --to tcp:PORT|unix:PATH [options]
 *
 *   ask    requests and answers on --connections kept open, or on a new one each time (--fresh)
 *   echo   after 101, sends --message BYTES and waits until they are back, again and again
 *   flood  after 101, sends --bytes as fast as they are taken, and reads them back
 *   hold   opens --connections streams and keeps them; samples memory at a sixteenth of them and at all
 *
 * A latency is counted from the moment a request was due, not from when it could be sent: at a fixed --rate a stall
 * shows in every request that it delayed (what is called coordinated omission otherwise). Without a rate each
 * connection asks again at once. CPU, context switches and memory of others (--watch NAME:PID,PID) are read from /proc
 * at the two ends of the measured stretch, by this process, so that nothing of the harness falls between.
 */
#define _GNU_SOURCE
#include "wire.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/ssl.h>
#endif

typedef uint64_t u64;

/* Nanoseconds after which a run that does not end has failed. */
#define PATIENCE 60000000000ull

/* === options === */

static struct {
  const char *mode, *to, *request;
  int connections, fresh, until_body, status, tls, chunked;
  double seconds, warmup, rate;
  u64 count, bytes, warm_bytes, message, expect, upload;
} o = {.connections = 1, .seconds = 1, .status = 200, .message = 1};

/* === clock === */

static u64 now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

/* === histogram: 128 steps an octave, so every figure is within 0.8 % === */

#define STEPS 128
static u64 histogram[STEPS * 60], largest, recorded;

static void record(u64 ns) {
  int octave = 63 - __builtin_clzll(ns | 255) - 7;
  histogram[octave ? (u64)octave * STEPS + (ns >> octave) : ns]++;
  recorded++;
  if (ns > largest) largest = ns;
}

static u64 middle(u64 index) {
  u64 octave = index < 2 * STEPS ? 0 : index / STEPS - 1;
  return ((index - octave * STEPS) << octave) + (octave ? 1ull << (octave - 1) : 0);
}

/* === other processes === */

struct group {
  char name[32];
  int pids[64], count;
};
static struct group groups[8];
static int group_count;

struct sample {
  u64 cpu, switches, rss_kb;
};

static u64 number_in(const char *path, const char *after) {
  char text[4096], *at = text;
  int fd = open(path, O_RDONLY);
  if (fd < 0) return 0;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  text[n < 0 ? 0 : n] = 0;
  if (after && !(at = strstr(text, after))) return 0;
  return strtoull(at + (after ? strlen(after) : 0), NULL, 10);
}

static struct sample look_at(const struct group *group) {
  struct sample sample = {0};
  char path[300];
  for (int i = 0; i < group->count; i++) {
    sprintf(path, "/proc/%d/status", group->pids[i]);
    sample.rss_kb += number_in(path, "VmRSS:");
    sprintf(path, "/proc/%d/task", group->pids[i]);
    DIR *threads = opendir(path);
    for (struct dirent *entry; threads && (entry = readdir(threads));) {
      if (entry->d_name[0] == '.') continue;
      sprintf(path, "/proc/%d/task/%.20s/schedstat", group->pids[i], entry->d_name);
      sample.cpu += number_in(path, NULL);
      sprintf(path, "/proc/%d/task/%.20s/status", group->pids[i], entry->d_name);
      sample.switches += number_in(path, "\nvoluntary_ctxt_switches:") + number_in(path, "nonvoluntary_ctxt_switches:");
    }
    if (threads) closedir(threads);
  }
  return sample;
}

static struct sample at_begin[8], at_end[8], at_low[8];

static void look(struct sample *into) {
  for (int i = 0; i < group_count; i++) into[i] = look_at(&groups[i]);
}

static u64 own_cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

/* === connections === */

enum state { REST, SENDING, HEAD, BODY, STREAM };

struct conn {
  int fd;
  enum state state;
  void *tls;
  char head[16384];
  size_t head_size;
  struct body body;
  size_t request_at;
  u64 upload_at;
  u64 due;
  u64 came, sent; /* stream bytes */
  uint32_t wants;
};

static struct conn *conns;
static struct conn **resting; /* a ring, so that connections take turns */
static size_t rest_head, rest_count;
static int poller, live, measuring;
static char *request, buffer[1 << 18];
static size_t request_size;
static struct stock stock;
static u64 upload_wire, done, errors, moved, moved_at_begin, begun, ended, cpu_at_begin, cpu_at_end, held;

static void begin(void) {
  memset(histogram, 0, sizeof histogram);
  largest = recorded = done = 0;
  measuring = 1;
  look(at_begin);
  cpu_at_begin = own_cpu();
  moved_at_begin = moved;
  begun = now();
}

static void end(void) {
  ended = now();
  cpu_at_end = own_cpu();
  look(at_end);
  measuring = 2;
}

static void die(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}

#ifdef WITH_TLS
static SSL_CTX *tls_context;
static ssize_t tls_result(struct conn *c, int n) {
  if (n > 0) return n;
  int why = SSL_get_error(c->tls, n);
  errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : EIO;
  return why == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}
static ssize_t get(struct conn *c, char *into, size_t n) {
  return c->tls ? tls_result(c, SSL_read(c->tls, into, (int)n)) : recv(c->fd, into, n, 0);
}
static ssize_t put(struct conn *c, const char *from, size_t n) {
  return c->tls ? tls_result(c, SSL_write(c->tls, from, (int)n)) : send(c->fd, from, n, MSG_NOSIGNAL);
}
static void secure(struct conn *c) {
  if (!o.tls) return;
  if (!tls_context) tls_context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_mode(tls_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  c->tls = SSL_new(tls_context);
  SSL_set_fd(c->tls, c->fd);
  SSL_set_connect_state(c->tls);
}
static int has_more(struct conn *c) { return c->tls && SSL_pending(c->tls) > 0; }
static void insecure(struct conn *c) {
  if (c->tls) SSL_free(c->tls);
  c->tls = NULL;
}
#else
static ssize_t get(struct conn *c, char *into, size_t n) { return recv(c->fd, into, n, 0); }
static ssize_t put(struct conn *c, const char *from, size_t n) { return send(c->fd, from, n, MSG_NOSIGNAL); }
static void secure(struct conn *c) { if (o.tls) (errno = ENOTSUP), die("built without TLS"); (void)c; }
static int has_more(struct conn *c) { return (void)c, 0; }
static void insecure(struct conn *c) { (void)c; }
#endif

static void want(struct conn *c, uint32_t events) {
  if (c->wants == events) return;
  c->wants = events;
  epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &(struct epoll_event){.events = events, .data.ptr = c});
}

static void open_conn(struct conn *c) {
  int is_tcp = !strncmp(o.to, "tcp:", 4);
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  if (is_tcp) in.sin_port = htons((uint16_t)atoi(o.to + 4));
  else strncpy(un.sun_path, o.to + 5, sizeof un.sun_path - 1);
  c->fd = socket(is_tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->fd < 0) die("socket");
  if (connect(c->fd, is_tcp ? (struct sockaddr *)&in : (struct sockaddr *)&un, is_tcp ? sizeof in : sizeof un)) die("connect");
  if (is_tcp) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  secure(c);
  c->wants = EPOLLIN;
  epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &(struct epoll_event){.events = EPOLLIN, .data.ptr = c});
  live++;
}

static void close_conn(struct conn *c) {
  if (c->fd < 0) return;
  insecure(c);
  close(c->fd);
  c->fd = -1;
  live--;
}

/* === one exchange === */

static void rest(struct conn *c) {
  c->state = REST;
  resting[(rest_head + rest_count++) % (size_t)o.connections] = c;
}

static void fail(struct conn *c, const char *why) {
  if (!errors++) fprintf(stderr, "load: %s; head: %.*s\n", why, (int)(c->head_size < 300 ? c->head_size : 300), c->head);
  if (errors > 1000) exit(1);
  close_conn(c);
  rest(c);
}

static int is_over(u64 t) {
  if (measuring != 1) return 0;
  if (o.count) return done >= o.count;
  if (o.bytes) return moved >= o.warm_bytes + o.bytes;
  return t - begun >= (u64)(o.seconds * 1e9);
}

static void send_request(struct conn *c) {
  while (c->request_at < request_size) {
    ssize_t n = put(c, request + c->request_at, request_size - c->request_at);
    if (n < 0) return errno == EAGAIN ? want(c, EPOLLIN | EPOLLOUT) : fail(c, "request not taken");
    c->request_at += (size_t)n;
  }
  u64 total = upload_wire + (o.upload && o.chunked ? sizeof LAST_CHUNK - 1 : 0);
  while (c->upload_at < total) {
    const char *from = stock.bytes + c->upload_at % stock.size;
    size_t n = stock.size - c->upload_at % stock.size;
    if (c->upload_at >= upload_wire) from = LAST_CHUNK + (c->upload_at - upload_wire), n = total - c->upload_at;
    else if (n > upload_wire - c->upload_at) n = upload_wire - c->upload_at;
    ssize_t sent = put(c, from, n);
    if (sent < 0) return errno == EAGAIN ? want(c, EPOLLIN | EPOLLOUT) : fail(c, "body not taken");
    c->upload_at += (u64)sent;
    moved += (u64)sent;
    if (!measuring && o.warm_bytes && moved >= o.warm_bytes) begin();
  }
  want(c, EPOLLIN);
  c->state = HEAD;
}

static void ask(struct conn *c, u64 due) {
  c->due = due;
  c->head_size = c->request_at = c->upload_at = 0;
  c->state = SENDING;
  if (c->fd < 0) open_conn(c);
  send_request(c);
}

static void answered(struct conn *c) {
  u64 t = now();
  if (o.expect && c->body.data != o.expect) return fail(c, "body of another length");
  done++;
  if (measuring == 1) record(t - c->due);
  if (o.fresh) close_conn(c);
  rest(c);
}

/* === streams === */

static void send_message(struct conn *c) {
  c->came = 0;
  c->due = now();
  if (put(c, stock.bytes, o.message) != (ssize_t)o.message) die("message not taken whole");
}

static void pour(struct conn *c) {
  u64 total = o.warm_bytes + o.bytes;
  while (c->sent < total) {
    size_t at = c->sent % stock.size, n = stock.size - at;
    ssize_t sent = put(c, stock.bytes + at, n < total - c->sent ? n : total - c->sent);
    if (sent < 0) return errno == EAGAIN ? want(c, EPOLLIN | EPOLLOUT) : die("pour");
    c->sent += (u64)sent;
  }
  want(c, EPOLLIN);
}

static void stream_starts(struct conn *c) {
  c->state = STREAM;
  if (*o.mode == 'e') send_message(c);
  if (*o.mode == 'f') pour(c);
}

static void stream_bytes(struct conn *c, const char *bytes, size_t n) {
  moved += n;
  if (*o.mode == 'f') {
    /* every byte is known: the stock again and again */
    for (size_t at = 0; at < n;) {
      size_t from = c->came % stock.size, size = stock.size - from < n - at ? stock.size - from : n - at;
      if (memcmp(bytes + at, stock.bytes + from, size)) errors++;
      c->came += size;
      at += size;
    }
    if (!measuring && moved >= o.warm_bytes) begin();
    return;
  }
  if ((c->came += n) < o.message) return;
  if (measuring == 1) record(now() - c->due);
  done++;
  if (measuring != 2) send_message(c);
}

/* === reading === */

static void body_bytes(struct conn *c, const char *bytes, size_t n) {
  size_t used = body_take(&c->body, bytes, n);
  moved += used;
  if (!measuring && o.warm_bytes && !o.upload && moved >= o.warm_bytes) begin();
  if (c->body.broken || used < n) return fail(c, "broken body");
  if (*o.mode == 'h') {
    if (c->body.data && c->state == BODY) c->state = STREAM, held++;
    return;
  }
  if (c->body.done || (o.until_body && c->body.data)) answered(c);
}

static void head_bytes(struct conn *c, const char *bytes, size_t n) {
  size_t before = c->head_size, take = n < sizeof c->head - before ? n : sizeof c->head - before;
  memcpy(c->head + before, bytes, take);
  c->head_size += take;
  size_t size = head_end(c->head, c->head_size);
  if (!size) return c->head_size == sizeof c->head ? fail(c, "head too long") : (void)0;
  if (atoi(c->head + 9) != o.status) return fail(c, "unwanted status");
  bytes += size - before;
  n -= size - before;
  if (*o.mode == 'e' || *o.mode == 'f') {
    stream_starts(c);
    if (n) stream_bytes(c, bytes, n);
    return;
  }
  c->body = body_of(c->head, size);
  c->state = BODY;
  if (n || c->body.done) body_bytes(c, bytes, n);
}

static void readable(struct conn *c) {
  do {
    ssize_t n = get(c, buffer, sizeof buffer);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
      if (c->state == REST) return close_conn(c);
      if (*o.mode == 'h' && c->state == STREAM) held--, errors++;
      return fail(c, "connection ended");
    }
    if (c->state == STREAM && *o.mode != 'h') stream_bytes(c, buffer, (size_t)n);
    else if (c->state == BODY || c->state == STREAM) body_bytes(c, buffer, (size_t)n);
    else head_bytes(c, buffer, (size_t)n); /* an answer may come before the request has gone */
  } while (c->fd >= 0 && has_more(c));
}

/* === running === */

static u64 started, asked;

/* Starts what is due. Returns nanoseconds until the next is, or 0 where nothing is planned. */
static u64 dispatch(void) {
  if (!o.rate) {
    while (rest_count && !is_over(now())) {
      struct conn *c = resting[rest_head];
      rest_head = (rest_head + 1) % (size_t)o.connections;
      rest_count--;
      ask(c, now());
    }
    return 0;
  }
  double interval = 1e9 / o.rate;
  for (;;) {
    u64 due = started + (u64)((double)asked * interval), t = now();
    if (due > t) return due - t;
    if (!rest_count) return 0;
    struct conn *c = resting[rest_head];
    rest_head = (rest_head + 1) % (size_t)o.connections;
    rest_count--;
    asked++;
    ask(c, due);
  }
}

static void wait_events(u64 at_most) {
  struct epoll_event events[256];
  struct timespec timeout = {(time_t)(at_most / 1000000000u), (long)(at_most % 1000000000u)};
  int n = epoll_pwait2(poller, events, 256, &timeout, NULL);
  for (int i = 0; i < n; i++) {
    struct conn *c = events[i].data.ptr;
    if (c->fd < 0) continue;
    if (c->state == SENDING) send_request(c);
    else if (events[i].events & EPOLLOUT && c->state == STREAM) pour(c);
    if (c->fd >= 0 && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(c);
  }
}

/* What was due but never got its turn has waited, too. */
static void record_backlog(void) {
  if (!o.rate) return;
  for (;; asked++) {
    u64 due = started + (u64)((double)asked * 1e9 / o.rate);
    if (due >= ended) return;
    record(ended - due);
  }
}

static void run(void) {
  started = now();
  u64 warm = (u64)(o.warmup * 1e9);
  if (*o.mode == 'e' || *o.mode == 'f')
    while (rest_count) {
      rest_count--;
      ask(resting[rest_head++], now());
    }
  for (;;) {
    if (!measuring && !o.warm_bytes && now() - started >= warm) begin();
    u64 t = now();
    if (is_over(t)) break;
    u64 soon = *o.mode == 'a' ? dispatch() : 0;
    wait_events(soon && soon < 1000000 ? soon : 1000000);
    if (t - started > PATIENCE) (errno = ETIMEDOUT), die("no end");
  }
  end();
  record_backlog();
}

static void settle(double seconds) {
  for (u64 until = now() + (u64)(seconds * 1e9); now() < until;) wait_events(10000000);
}

static void hold(void) {
  int low = o.connections / 16, opened = 0;
  begin();
  for (u64 since = now(); held < (u64)o.connections;) {
    int limit = held < (u64)low ? low : o.connections;
    while (opened < limit && opened - (int)held < 64) ask(&conns[opened++], now());
    wait_events(1000000);
    if (held == (u64)low && opened == low) {
      settle(1);
      look(at_low);
      limit = o.connections;
      ask(&conns[opened++], now());
    }
    if (now() - since > PATIENCE) (errno = ETIMEDOUT), die("streams not open");
  }
  settle(1);
  end();
}

/* === report === */

static void print(void) {
  printf("{\"seconds\":%.9f,\"requests\":%llu,\"errors\":%llu,\"bytes\":%llu,\"client_cpu_ns\":%llu,\"max_ns\":%llu,\"watched\":{",
      (double)(ended - begun) / 1e9, (unsigned long long)done, (unsigned long long)errors,
      (unsigned long long)(moved - moved_at_begin), (unsigned long long)(cpu_at_end - cpu_at_begin), (unsigned long long)largest);
  for (int i = 0; i < group_count; i++)
    printf("%s\"%s\":{\"cpu_ns\":%llu,\"switches\":%llu,\"rss_kb\":%llu,\"low_rss_kb\":%llu}", i ? "," : "", groups[i].name,
        (unsigned long long)(at_end[i].cpu - at_begin[i].cpu), (unsigned long long)(at_end[i].switches - at_begin[i].switches),
        (unsigned long long)at_end[i].rss_kb, (unsigned long long)at_low[i].rss_kb);
  printf("},\"histogram\":[");
  for (u64 i = 0, n = 0; i < sizeof histogram / sizeof *histogram; i++)
    if (histogram[i]) printf("%s[%llu,%llu]", n++ ? "," : "", (unsigned long long)middle(i), (unsigned long long)histogram[i]);
  printf("]}\n");
}

static void watch_group(char *text) {
  struct group *group = &groups[group_count++];
  char *pids = strchr(text, ':');
  snprintf(group->name, sizeof group->name, "%.*s", (int)(pids - text), text);
  for (char *pid = strtok(pids + 1, ","); pid && group->count < 64; pid = strtok(NULL, ",")) group->pids[group->count++] = atoi(pid);
}

static void read_request(void) {
  FILE *file = fopen(o.request, "r");
  if (!file) die(o.request);
  request = malloc(1 << 20);
  request_size = fread(request, 1, 1 << 20, file);
  fclose(file);
}

static void parse(int argc, char **argv) {
  static const struct option options[] = {
      {"to", 1, 0, 't'}, {"request", 1, 0, 'r'}, {"connections", 1, 0, 'c'}, {"fresh", 0, 0, 'f'}, {"until-body", 0, 0, 'b'},
      {"status", 1, 0, 's'}, {"seconds", 1, 0, 'd'}, {"warmup", 1, 0, 'w'}, {"rate", 1, 0, 'R'}, {"count", 1, 0, 'n'},
      {"bytes", 1, 0, 'B'}, {"warm-bytes", 1, 0, 'W'}, {"message", 1, 0, 'm'}, {"expect", 1, 0, 'e'}, {"upload", 1, 0, 'u'},
      {"chunked", 0, 0, 'k'}, {"tls", 0, 0, 'T'}, {"watch", 1, 0, 'p'}, {0}};
  if (argc < 2) die("no mode");
  o.mode = argv[1];
  optind = 2;
  for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
    u64 n = optarg ? strtoull(optarg, NULL, 10) : 0;
    switch (c) {
      case 't': o.to = optarg; break;
      case 'r': o.request = optarg; break;
      case 'c': o.connections = (int)n; break;
      case 'f': o.fresh = 1; break;
      case 'b': o.until_body = 1; break;
      case 's': o.status = (int)n; break;
      case 'd': o.seconds = atof(optarg); break;
      case 'w': o.warmup = atof(optarg); break;
      case 'R': o.rate = atof(optarg); break;
      case 'n': o.count = n; break;
      case 'B': o.bytes = n; break;
      case 'W': o.warm_bytes = n; break;
      case 'm': o.message = n; break;
      case 'e': o.expect = n; break;
      case 'u': o.upload = n; break;
      case 'k': o.chunked = 1; break;
      case 'T': o.tls = 1; break;
      case 'p': watch_group(optarg); break;
      default: exit(2);
    }
  }
  if (!o.to || !o.request) die("--to and --request are needed");
}

int main(int argc, char **argv) {
  parse(argc, argv);
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_TIMERSLACK, 1);
  read_request();
  stock = make_stock(o.chunked);
  upload_wire = wire_size(o.upload, o.chunked);
  poller = epoll_create1(EPOLL_CLOEXEC);
  conns = calloc((size_t)o.connections, sizeof *conns);
  resting = calloc((size_t)o.connections, sizeof *resting);
  for (int i = 0; i < o.connections; i++) {
    conns[i].fd = -1;
    if (*o.mode != 'h') rest(&conns[i]);
  }
  if (*o.mode == 'h') hold();
  else run();
  print();
  return errors ? 3 : 0;
}
