/* What the small programs here need of WASI preview 1, without a libc. */
#pragma once

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define WASI(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name)))
struct iovec { void *at; u32 bytes; };
WASI(fd_read) u32 fd_read(u32 fd, const struct iovec *list, u32 count, u32 *bytes);
WASI(fd_write) u32 fd_write(u32 fd, const struct iovec *list, u32 count, u32 *bytes);
WASI(args_sizes_get) u32 args_sizes_get(u32 *count, u32 *bytes);
WASI(args_get) u32 args_get(char **list, char *bytes);
WASI(proc_exit) _Noreturn void proc_exit(u32 code);

/* Says why on standard error, and ends with 2: the input is not what the program understands. */
static _Noreturn void refuse(const char *why) {
  u32 length = 0, done;
  while (why[length]) length++;
  struct iovec line[2] = {{(void *)why, length}, {"\n", 1}};
  fd_write(2, line, 2, &done);
  proc_exit(2);
}

/* Reads standard input to its end; how many bytes there were. */
static inline u32 read_all(u8 *into, u32 limit) {
  u32 length = 0;
  for (;;) {
    struct iovec rest = {into + length, limit - length};
    u32 got = 0;
    if (length == limit) refuse("the input is too long");
    if (fd_read(0, &rest, 1, &got)) refuse("cannot read");
    if (got == 0) return length;
    length += got;
  }
}

static inline void write_all(const u8 *from, u32 length) {
  while (length > 0) {
    struct iovec rest = {(void *)from, length};
    u32 put = 0;
    if (fd_write(1, &rest, 1, &put)) refuse("cannot write");
    from += put;
    length -= put;
  }
}
