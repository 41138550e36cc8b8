/* Small kernels of the kinds that compilers are measured with, written for this project: dense linear algebra, a stencil, a graph, hashing,
 * a branchy state machine over a linked list, a sieve. One of them is chosen with -DKERNEL=run_…; the same source is built natively and for
 * WebAssembly. Prints (natively: CPU nanoseconds of the best of five runs and) a checksum that must be equal everywhere.
 */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

static u64 bits(double x) { union { double d; u64 u; } b = {x}; return b.u; }

#define N 320
static double a[N][N], b[N][N], c[N][N];
static u64 run_gemm(void) {
  for (int i = 0; i < N; i++) for (int j = 0; j < N; j++) {
    a[i][j] = (double)((i * j + 1) % N) / N; b[i][j] = (double)((i * (j + 1)) % N) / N; c[i][j] = 0;
  }
  for (int i = 0; i < N; i++) for (int k = 0; k < N; k++) for (int j = 0; j < N; j++) c[i][j] += a[i][k] * b[k][j];
  double sum = 0;
  for (int i = 0; i < N; i++) sum += c[i][(i * 7) % N];
  return bits(sum);
}

static u64 run_jacobi(void) {
  for (int i = 0; i < N; i++) for (int j = 0; j < N; j++) a[i][j] = b[i][j] = (double)(i * (j + 2) + 2) / N;
  for (int t = 0; t < 150; t++) {
    for (int i = 1; i < N - 1; i++) for (int j = 1; j < N - 1; j++)
      b[i][j] = 0.2 * (a[i][j] + a[i][j - 1] + a[i][j + 1] + a[i + 1][j] + a[i - 1][j]);
    for (int i = 1; i < N - 1; i++) for (int j = 1; j < N - 1; j++)
      a[i][j] = 0.2 * (b[i][j] + b[i][j - 1] + b[i][j + 1] + b[i + 1][j] + b[i - 1][j]);
  }
  return bits(a[N / 2][N / 3]);
}

static int path[N][N];
static u64 run_paths(void) {
  for (int i = 0; i < N; i++) for (int j = 0; j < N; j++) path[i][j] = (i * j) % 7 + ((i + j) % 13 == 0 ? 1 : 999);
  for (int k = 0; k < N; k++) for (int i = 0; i < N; i++) for (int j = 0; j < N; j++) {
    int through = path[i][k] + path[k][j];
    if (through < path[i][j]) path[i][j] = through;
  }
  u64 sum = 0;
  for (int i = 0; i < N; i++) for (int j = 0; j < N; j++) sum = sum * 31 + (u64)path[i][j];
  return sum;
}

static u8 block[1 << 16];
static u64 run_hash(void) {
  u32 h[4] = {1, 2, 3, 4};
  for (u32 i = 0; i < sizeof block; i++) block[i] = (u8)(i * 131 >> 3);
  for (int round = 0; round < 400; round++)
    for (u32 i = 0; i < sizeof block; i += 4) {
      u32 w = block[i] | (u32)block[i + 1] << 8 | (u32)block[i + 2] << 16 | (u32)block[i + 3] << 24;
      w *= 0xcc9e2d51u; w = w << 15 | w >> 17; w *= 0x1b873593u;
      u32 *x = &h[i >> 2 & 3];
      *x ^= w; *x = *x << 13 | *x >> 19; *x = *x * 5 + 0xe6546b64u;
    }
  return ((u64)(h[0] ^ h[2]) << 32) | (h[1] ^ h[3]);
}

struct node { struct node *next; u32 kind, value; };
static struct node nodes[4096];
static u64 run_list(void) {
  for (u32 i = 0; i < 4096; i++) {
    u32 to = (i * 2053 + 17) & 4095;
    nodes[i].next = &nodes[to]; nodes[i].kind = (i * 7 + (i >> 5)) % 11; nodes[i].value = i * 2654435761u;
  }
  u32 crc = 0, state = 0;
  struct node *at = nodes;
  for (u32 step = 0; step < 12000000; step++) {
    switch ((at->kind + state) % 6) {
      case 0: crc ^= at->value; state = 1; break;
      case 1: crc = crc << 1 ^ (crc >> 31 ? 0x04c11db7u : 0); break;
      case 2: if (crc & 8) state++; else state += 2; break;
      case 3: at->value += crc; break;
      case 4: crc += at->value >> 3; state ^= 3; break;
      default: state = at->value & 3;
    }
    at = at->next;
  }
  return (u64)crc << 32 | state;
}

static u8 sieve[4000000];
static u64 run_sieve(void) {
  u64 count = 0;
  for (int round = 0; round < 3; round++) {
    count = 0;
    for (u32 i = 0; i < sizeof sieve; i++) sieve[i] = 1;
    for (u32 i = 2; i < sizeof sieve; i++) {
      if (!sieve[i]) continue;
      count++;
      for (u64 j = (u64)i * i; j < sizeof sieve; j += i) sieve[j] = 0;
    }
  }
  return count;
}

#ifdef __wasm__
#define WASI(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name)))
struct iovec { const void *at; u32 bytes; };
WASI(fd_write) u32 fd_write(u32 fd, const struct iovec *list, u32 count, u32 *bytes);
void _start(void) {
  u64 sum = KERNEL();
  u32 done;
  struct iovec out = {&sum, sizeof sum};
  fd_write(1, &out, 1, &done);
}
#else
#include <stdio.h>
#include <time.h>
int main(void) {
  u64 sum = 0, best = ~0ull;
  for (int run = 0; run < 5; run++) {
    struct timespec from, to;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    sum = KERNEL();
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    u64 took = (u64)(to.tv_sec - from.tv_sec) * 1000000000ull + (u64)to.tv_nsec - (u64)from.tv_nsec;
    if (took < best) best = took;
  }
  printf("%llu %llu\n", best, sum);
  return 0;
}
#endif
