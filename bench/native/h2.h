/*
 * Just enough HTTP/2 for both ends of a bench (RFC 9113): frames however they are cut, windows of both levels, and the
 * few header blocks that are sent, none of whose bytes need a table (RFC 7541 6.2.2). What the peer's blocks say is
 * skipped, but for the start of one, where its status is.
 */
#ifndef H2_H
#define H2_H
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "wire.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define PREFACE_BYTES (sizeof PREFACE - 1)
#define FRAME_HEAD 9
/* Every peer has to take frames of this payload. */
#define FRAME_BYTES 16384
/* What may come before it is answered, on a stream and on the connection, which begins with fewer. */
#define WINDOW (1 << 20)
#define FIRST_WINDOW 65535
#define OUT_BYTES (1 << 18)
/* Room that DATA leaves for everything else. */
#define OUT_SPARE 8192
#define CALLS 8
/* Compressed-Flag and Message-Length, before each gRPC message. */
#define PREFIX 5

enum frame_type { F_DATA, F_HEADERS, F_PRIORITY, F_RST_STREAM, F_SETTINGS, F_PUSH_PROMISE, F_PING, F_GOAWAY, F_WINDOW_UPDATE, F_CONTINUATION };
enum frame_flag { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8, PRIORITISED = 32 };
#define SETTINGS_INITIAL_WINDOW_SIZE 4

/* One stream. */
struct call {
  uint32_t id; /* 0: nobody's */
  int64_t window;
  uint32_t unanswered; /* bytes that came since the last WINDOW_UPDATE */
  int has_ended;       /* the peer says no more */
  int is_answered;     /* the peer's header block has come */
};

struct h2;
/* What the two ends do each in their own way. */
struct h2_user {
  void (*block)(struct h2 *, struct call *, const unsigned char *start, size_t n, int is_last);
  void (*data)(struct h2 *, struct call *, const char *bytes, size_t n);
  void (*ended)(struct h2 *, struct call *);
};

struct h2 {
  const struct h2_user *user;
  void *owner;
  int is_server;
  const char *broken; /* what the peer did that ends the connection */
  size_t preface;     /* bytes of the client's preface still to come */
  unsigned char head[FRAME_HEAD], start[256]; /* of the frame that is being read */
  size_t head_size, start_size;
  uint32_t length, left, stream;
  uint8_t type, flags;
  unsigned char block[32]; /* the start of a header block that goes on in CONTINUATION frames */
  size_t block_size;
  int block_ends_stream;
  int64_t window; /* what the peer takes on the connection */
  uint32_t first_window, unanswered;
  struct call calls[CALLS];
  char out[OUT_BYTES];
  size_t out_at, out_size;
};

static inline void put_u32(char *at, uint32_t n) {
  for (int i = 0; i < 4; i++) at[i] = (char)(n >> (24 - 8 * i));
}

static inline uint32_t get_u32(const unsigned char *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline size_t room(struct h2 *h) {
  if (h->out_at) {
    memmove(h->out, h->out + h->out_at, h->out_size -= h->out_at);
    h->out_at = 0;
  }
  return sizeof h->out - h->out_size;
}

/* Where the payload of a new frame goes. */
static inline char *frame(struct h2 *h, enum frame_type type, int flags, uint32_t stream, size_t n) {
  if (room(h) < FRAME_HEAD + n) {
    h->broken = "asks for more than it reads";
    h->out_size = 0;
  }
  char *at = h->out + h->out_size;
  put_u32(at, (uint32_t)n << 8 | (uint32_t)type);
  at[4] = (char)flags;
  put_u32(at + 5, stream);
  h->out_size += FRAME_HEAD + n;
  return at + FRAME_HEAD;
}

static inline void grant(struct h2 *h, uint32_t stream, uint32_t bytes) {
  put_u32(frame(h, F_WINDOW_UPDATE, 0, stream, 4), bytes);
}

/* The first words of either side; a server's come after the client's preface or before, as it likes. */
static inline void greet(struct h2 *h) {
  char *at = frame(h, F_SETTINGS, 0, 0, 6);
  at[0] = 0;
  at[1] = SETTINGS_INITIAL_WINDOW_SIZE;
  put_u32(at + 2, WINDOW);
  grant(h, 0, WINDOW - FIRST_WINDOW);
  h->window = h->first_window = FIRST_WINDOW;
}

static inline struct call *call_of(struct h2 *h, uint32_t id) {
  for (struct call *call = h->calls; call < h->calls + CALLS; call++)
    if (call->id == id) return call;
  return NULL;
}

static inline struct call *new_call(struct h2 *h, uint32_t id) {
  struct call *call = call_of(h, 0);
  if (!call) return (h->broken = "too many streams"), NULL;
  *call = (struct call){.id = id, .window = h->first_window};
  return call;
}

/* How many bytes of DATA may go on a stream now. */
static inline size_t may_send(struct h2 *h, struct call *call) {
  int64_t n = call->window < h->window ? call->window : h->window;
  size_t free = room(h);
  if (n > FRAME_BYTES) n = FRAME_BYTES;
  if (free < OUT_SPARE + FRAME_HEAD + FRAME_BYTES) return 0;
  return n > 0 ? (size_t)n : 0;
}

/* A frame of DATA, of which no more than `may_send` may be; returns where its bytes go. */
static inline char *data_frame(struct h2 *h, struct call *call, size_t n, int flags) {
  call->window -= (int64_t)n;
  h->window -= (int64_t)n;
  return frame(h, F_DATA, flags, call->id, n);
}

/* One literal field without indexing (RFC 7541 6.2.2); `name` is NULL where `index` names it. Returns its end. */
static inline char *literal(char *at, int index, const char *name, const char *value) {
  if (index < 15) *at++ = (char)index;
  else *at++ = 15, *at++ = (char)(index - 15);
  if (name) {
    *at++ = (char)strlen(name);
    at = stpcpy(at, name);
  }
  *at++ = (char)strlen(value);
  return stpcpy(at, value);
}

/* Static table (RFC 7541 A). */
enum { I_AUTHORITY = 1, I_POST = 3, I_PATH = 4, I_SCHEME_HTTP = 6, I_STATUS = 8, I_CONTENT_TYPE = 31 };
#define INDEXED 0x80

static inline void headers(struct h2 *h, uint32_t stream, int flags, const char *block, const char *end) {
  size_t n = (size_t)(end - block);
  memcpy(frame(h, F_HEADERS, END_HEADERS | flags, stream, n), block, n);
}

/* True where a response's block begins with status 200: indexed, or as a literal, Huffman-coded or not. */
static inline int is_ok(const unsigned char *block, size_t n) {
  static const char *const forms[] = {"\x88", "\x08\x03" "200", "\x08\x82\x10\x01", "\x48\x03" "200", "\x48\x82\x10\x01"};
  while (n && (*block & 0xe0) == 0x20) { /* the encoder tells of its table's size first */
    int goes_on = (*block & 0x1f) == 0x1f;
    block++, n--;
    while (goes_on && n) goes_on = *block & 0x80, block++, n--;
  }
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
    size_t size = strlen(forms[i]);
    if (n >= size && !memcmp(block, forms[i], size)) return 1;
  }
  return 0;
}

static inline void settle_windows(struct h2 *h, uint32_t first) {
  for (struct call *call = h->calls; call < h->calls + CALLS; call++)
    if (call->id) call->window += (int64_t)first - h->first_window;
  h->first_window = first;
}

static inline void end_call(struct h2 *h, struct call *call) {
  if (call->has_ended) return;
  call->has_ended = 1;
  h->user->ended(h, call);
}

/* A header block is whole. */
static inline void block_came(struct h2 *h) {
  struct call *call = call_of(h, h->stream);
  if (!call && !(h->is_server && (call = new_call(h, h->stream)))) return;
  int is_last = h->block_ends_stream;
  h->user->block(h, call, h->block, h->block_size, is_last);
  call->is_answered = 1;
  if (is_last) end_call(h, call);
}

static inline void block_starts(struct h2 *h) {
  size_t skip = (h->flags & PADDED ? 1u : 0u) + (h->flags & PRIORITISED ? 5u : 0u);
  h->block_ends_stream = h->flags & END_STREAM;
  h->block_size = h->start_size > skip ? h->start_size - skip : 0;
  if (h->block_size > sizeof h->block) h->block_size = sizeof h->block;
  memcpy(h->block, h->start + skip, h->block_size);
}

/* A frame is whole; `h->start` holds its first bytes. */
static inline void frame_came(struct h2 *h) {
  struct call *call = h->stream ? call_of(h, h->stream) : NULL;
  switch (h->type) {
    case F_DATA:
      if (call && h->flags & END_STREAM) end_call(h, call);
      break;
    case F_HEADERS: block_starts(h); /* fall through */
    case F_CONTINUATION:
      if (h->flags & END_HEADERS) block_came(h);
      break;
    case F_RST_STREAM:
      if (call) h->broken = "a stream was reset";
      break;
    case F_SETTINGS:
      if (h->flags & ACK) break;
      for (size_t at = 0; at + 6 <= h->start_size; at += 6)
        if (h->start[at + 1] == SETTINGS_INITIAL_WINDOW_SIZE) settle_windows(h, get_u32(h->start + at + 2));
      frame(h, F_SETTINGS, ACK, 0, 0);
      break;
    case F_PING:
      if (!(h->flags & ACK)) memcpy(frame(h, F_PING, ACK, 0, 8), h->start, 8);
      break;
    case F_GOAWAY:
      if (get_u32(h->start + 4)) h->broken = "GOAWAY with an error";
      break;
    case F_WINDOW_UPDATE:
      if (!h->stream) h->window += get_u32(h->start);
      else if (call) call->window += get_u32(h->start);
      break;
    default: break;
  }
}

/* DATA counts against both windows; they are opened again when a quarter is used up. */
static inline void data_came(struct h2 *h, const char *bytes, size_t n) {
  struct call *call = call_of(h, h->stream);
  if (h->flags & PADDED) h->broken = "padded DATA";
  h->unanswered += (uint32_t)n;
  if (h->unanswered >= WINDOW / 4) grant(h, 0, h->unanswered), h->unanswered = 0;
  if (!call || h->broken) return;
  call->unanswered += (uint32_t)n;
  h->user->data(h, call, bytes, n);
  if (call->id && call->unanswered >= WINDOW / 4) grant(h, call->id, call->unanswered), call->unanswered = 0;
}

static inline void payload_came(struct h2 *h, const char *bytes, size_t n) {
  h->left -= (uint32_t)n;
  if (h->type == F_DATA) return data_came(h, bytes, n);
  size_t keep = sizeof h->start - h->start_size;
  if (keep > n) keep = n;
  memcpy(h->start + h->start_size, bytes, keep);
  h->start_size += keep;
}

static inline void head_came(struct h2 *h) {
  h->length = h->left = get_u32(h->head) >> 8;
  h->type = h->head[3];
  h->flags = h->head[4];
  h->stream = get_u32(h->head + 5) & 0x7fffffff;
  h->start_size = 0;
  if (h->length > FRAME_BYTES) h->broken = "a frame that is too large";
}

/* Takes bytes of the peer's; `h->broken` says afterwards what was wrong with them. */
static inline void h2_take(struct h2 *h, const char *bytes, size_t n) {
  for (size_t at = 0; at < n && !h->broken;) {
    if (h->preface) {
      if (bytes[at++] != PREFACE[PREFACE_BYTES - h->preface--]) h->broken = "not a preface";
      continue;
    }
    if (h->head_size < FRAME_HEAD) {
      h->head[h->head_size++] = (unsigned char)bytes[at++];
      if (h->head_size < FRAME_HEAD) continue;
      head_came(h);
    } else {
      size_t take = n - at < h->left ? n - at : h->left;
      payload_came(h, bytes + at, take);
      at += take;
    }
    if (h->left) continue;
    if (!h->broken) frame_came(h);
    h->head_size = 0;
  }
}

/* A stock whose every piece of 32 KiB is one gRPC message. */
static inline struct stock make_messages(void) {
  struct stock stock = make_stock(0);
  for (size_t at = 0; at < stock.size; at += CHUNK) {
    stock.bytes[at] = 0;
    put_u32(stock.bytes + at + 1, CHUNK - PREFIX);
  }
  return stock;
}
#endif
