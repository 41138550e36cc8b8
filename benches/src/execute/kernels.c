/* Small kernels of the kinds that compilers are measured with, written for this project: dense linear algebra, a stencil, a graph, hashing,
 * a branchy state machine over a linked list, a sieve, sorting by calls, a cipher-like digest, planets, a triangular solve. One of them is chosen with -DKERNEL=run_…; the same source is built natively and for
 * WebAssembly. Prints (natively: CPU nanoseconds of a second run and) a checksum that must be equal everywhere.
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

/* An in-place stencil: every cell waits for its neighbour, so nothing can be done in vectors. */
static u64 run_seidel(void) {
  for (int i = 0; i < N; i++) for (int j = 0; j < N; j++) a[i][j] = ((double)i * (j + 2) + 2) / N;
  for (int t = 0; t < 30; t++)
    for (int i = 1; i < N - 1; i++) for (int j = 1; j < N - 1; j++)
      a[i][j] = (a[i - 1][j - 1] + a[i - 1][j] + a[i - 1][j + 1] + a[i][j - 1] + a[i][j] + a[i][j + 1] + a[i + 1][j - 1] + a[i + 1][j] + a[i + 1][j + 1]) / 9.0;
  return bits(a[N / 2][N / 3]);
}

/* LU decomposition without pivoting. */
static u64 run_lu(void) {
  for (int i = 0; i < N; i++) for (int j = 0; j < N; j++) a[i][j] = (i == j ? N : 0) + (double)((i * 7 + j * 13) % 29) / 29;
  for (int i = 0; i < N; i++) {
    for (int j = 0; j < i; j++) {
      for (int k = 0; k < j; k++) a[i][j] -= a[i][k] * a[k][j];
      a[i][j] /= a[j][j];
    }
    for (int j = i; j < N; j++) for (int k = 0; k < i; k++) a[i][j] -= a[i][k] * a[k][j];
  }
  double sum = 0;
  for (int i = 0; i < N; i++) sum += a[i][(i * 5) % N];
  return bits(sum);
}

struct body { double x, y, z, vx, vy, vz, mass; };
static u64 run_planets(void) {
  struct body all[5];
  for (int i = 0; i < 5; i++) {
    struct body one = {i * 1.7 + 0.1, i * -2.3 + 1, i * 0.9, i * 0.02, 0.3 - i * 0.05, i * 0.01, 1.0 / (1 + i * i)};
    all[i] = one;
  }
  for (int step = 0; step < 250000; step++) {
    for (int i = 0; i < 5; i++) for (int j = i + 1; j < 5; j++) {
      double dx = all[i].x - all[j].x, dy = all[i].y - all[j].y, dz = all[i].z - all[j].z;
      double square = dx * dx + dy * dy + dz * dz + 0.01;
      double pull = 0.001 / (square * __builtin_sqrt(square));
      all[i].vx -= dx * all[j].mass * pull; all[i].vy -= dy * all[j].mass * pull; all[i].vz -= dz * all[j].mass * pull;
      all[j].vx += dx * all[i].mass * pull; all[j].vy += dy * all[i].mass * pull; all[j].vz += dz * all[i].mass * pull;
    }
    for (int i = 0; i < 5; i++) { all[i].x += 0.001 * all[i].vx; all[i].y += 0.001 * all[i].vy; all[i].z += 0.001 * all[i].vz; }
  }
  return bits(all[0].x + all[1].y + all[2].z);
}

/* Rounds of the shape of SHA-256's: rotations, choices, additions. */
static u32 turn(u32 x, int by) { return x >> by | x << (32 - by); }
static u64 run_rounds(void) {
  u32 w[64], h[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  for (u32 piece = 0; piece < 60000; piece++) {
    for (u32 i = 0; i < 16; i++) w[i] = (piece * 16 + i) * 2654435761u;
    for (u32 i = 16; i < 64; i++) {
      u32 s0 = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3, s1 = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10;
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    u32 v[8];
    for (int i = 0; i < 8; i++) v[i] = h[i];
    for (int i = 0; i < 64; i++) {
      u32 t1 = v[7] + (turn(v[4], 6) ^ turn(v[4], 11) ^ turn(v[4], 25)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) + w[i];
      u32 t2 = (turn(v[0], 2) ^ turn(v[0], 13) ^ turn(v[0], 22)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
      v[7] = v[6]; v[6] = v[5]; v[5] = v[4]; v[4] = v[3] + t1; v[3] = v[2]; v[2] = v[1]; v[1] = v[0]; v[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++) h[i] += v[i];
  }
  return (u64)(h[0] ^ h[2] ^ h[4] ^ h[6]) << 32 | (h[1] ^ h[3] ^ h[5] ^ h[7]);
}

/* Calls: a quicksort that calls itself, and compares through a pointer to a function. */
static u32 items[400000];
static int below(u32 x, u32 y) { return x < y; }
static int above(u32 x, u32 y) { return x > y; }
static void quick(u32 *from, int count, int (*first)(u32, u32)) {
  while (count > 1) {
    u32 pivot = from[count / 2];
    int low = 0, high = count - 1;
    while (low <= high) {
      while (first(from[low], pivot)) low++;
      while (first(pivot, from[high])) high--;
      if (low <= high) { u32 keep = from[low]; from[low++] = from[high]; from[high--] = keep; }
    }
    quick(from, high + 1, first);
    from += low; count -= low;
  }
}
static u64 run_sort(void) {
  int (*volatile orders[2])(u32, u32) = {below, above};
  u64 sum = 0;
  for (int order = 0; order < 2; order++) {
    u32 x = 1;
    for (u32 i = 0; i < 400000; i++) { x = x * 1664525u + 1013904223u; items[i] = x; }
    quick(items, 400000, orders[order]);
    for (u32 i = 0; i < 400000; i += 1000) sum = sum * 31 + items[i];
  }
  return sum;
}

/* Products of small integer matrices with sums of 32 bits, as embedded benchmarks have them. */
static short left[N][N], right[N][N];
static u64 run_matrix16(void) {
  for (int i = 0; i < N; i++) for (int j = 0; j < N; j++) { left[i][j] = (short)(i * 3 - j * 5); right[i][j] = (short)(i * j % 101 - 50); }
  u64 sum = 0;
  for (int i = 0; i < N; i++) for (int j = 0; j < N; j++) {
    int dot = 0;
    for (int k = 0; k < N; k++) dot += left[i][k] * right[j][k];
    sum = sum * 31 + (u64)(u32)dot;
  }
  return sum;
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
  u64 sum = 0, took = 0;
  /* The second run: its pages are there. */
  for (int run = 0; run < 2; run++) {
    struct timespec from, to;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    sum = KERNEL();
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    took = (u64)(to.tv_sec - from.tv_sec) * 1000000000ull + (u64)to.tv_nsec - (u64)from.tv_nsec;
  }
  printf("%llu %llu\n", took, sum);
  return 0;
}
#endif
