/* A ray tracer for one tile of a picture, free-standing: no libc, the mathematics is its own.
 *
 * Standard input: "width height columns rows seed samples\n". The segment's number (GONGSUAN_SEGMENT) is the tile, row by
 * row. Standard output: the tile's pixels as rows of RGB bytes. Exits with 2 on input that it does not understand.
 *
 * Shadows and ambient light are analytic (spheres only), so that few rays a pixel give a picture without grain.
 */

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define WASI(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name)))
struct iovec { void *at; u32 bytes; };
WASI(fd_read) u32 fd_read(u32 fd, const struct iovec *list, u32 count, u32 *bytes);
WASI(fd_write) u32 fd_write(u32 fd, const struct iovec *list, u32 count, u32 *bytes);
WASI(environ_sizes_get) u32 environ_sizes_get(u32 *count, u32 *bytes);
WASI(environ_get) u32 environ_get(char **list, char *bytes);
WASI(proc_exit) _Noreturn void proc_exit(u32 code);

/* ---- mathematics ------------------------------------------------------------------------------------------------ */

typedef struct { float x, y, z; } vec;

static inline vec v(float x, float y, float z) { return (vec){x, y, z}; }
static inline vec add(vec a, vec b) { return v(a.x + b.x, a.y + b.y, a.z + b.z); }
static inline vec sub(vec a, vec b) { return v(a.x - b.x, a.y - b.y, a.z - b.z); }
static inline vec mul(vec a, vec b) { return v(a.x * b.x, a.y * b.y, a.z * b.z); }
static inline vec scale(vec a, float s) { return v(a.x * s, a.y * s, a.z * s); }
static inline float dot(vec a, vec b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
static inline float root(float x) { return __builtin_sqrtf(x); }
static inline vec unit(vec a) { return scale(a, 1.0f / root(dot(a, a))); }
static inline float least(float a, float b) { return a < b ? a : b; }
static inline float most(float a, float b) { return a > b ? a : b; }
static inline float clamp(float x, float low, float high) { return least(most(x, low), high); }
static inline float down(float x) { return __builtin_floorf(x); }
static inline float mix(float a, float b, float t) { return a + (b - a) * t; }
static inline vec blend(vec a, vec b, float t) { return add(a, scale(sub(b, a), t)); }
static inline float step(float a, float b, float x) {
  float t = clamp((x - a) / (b - a), 0, 1);
  return t * t * (3 - 2 * t);
}

/* sin(2 pi x), by its Taylor polynomial on a quarter; good to 1e-5. */
static float wave(float x) {
  x -= down(x);
  float sign = 1;
  if (x >= 0.5f) { x -= 0.5f; sign = -1; }
  if (x > 0.25f) x = 0.5f - x;
  float t = x * 6.2831853f, s = t * t;
  return sign * t * (1 - s / 6 * (1 - s / 20 * (1 - s / 42 * (1 - s / 72))));
}
static float cowave(float x) { return wave(x + 0.25f); }

static float logarithm2(float x) {
  union { float f; u32 u; } bits = {x};
  float exponent = (float)(int)((bits.u >> 23) - 127);
  bits.u = (bits.u & 0x7fffff) | 0x3f800000;
  float t = (bits.f - 1) / (bits.f + 1), s = t * t;
  return exponent + t * (2.8853901f + s * (0.9617967f + s * (0.5770780f + s * 0.4121985f)));
}
static float power2(float x) {
  if (x < -120) return 0;
  float whole = down(x), t = (x - whole) * 0.69314718f;
  union { u32 u; float f; } bits = {(u32)((int)whole + 127) << 23};
  return bits.f * (1 + t * (1 + t * (0.5f + t * (0.16666667f + t * (0.041666667f + t * 0.0083333f)))));
}
static float power(float x, float y) { return x <= 0 ? 0 : power2(y * logarithm2(x)); }

static u32 scramble(u32 x) {
  x ^= x >> 16; x *= 0x7feb352du;
  x ^= x >> 15; x *= 0x846ca68bu;
  return x ^ (x >> 16);
}
static float chance(u32 a, u32 b) { return (float)(scramble(a ^ scramble(b)) >> 8) * (1.0f / 16777216.0f); }

/* ---- the scene -------------------------------------------------------------------------------------------------- */

enum kind { GLOSS, METAL, GLASS };
#define SPHERES_MAX 56
static float sx[SPHERES_MAX], sy[SPHERES_MAX], sz[SPHERES_MAX], sr[SPHERES_MAX];
static vec colour[SPHERES_MAX];
static enum kind kind[SPHERES_MAX];
static int spheres;
static u32 seed;
static vec sun, sun_light, zenith, horizon, ground_light, ground_dark;

/* Colours around a circle, saturated but never shrill. */
static vec hue(float h) {
  vec c = v(0.5f + 0.5f * cowave(h), 0.5f + 0.5f * cowave(h - 0.333f), 0.5f + 0.5f * cowave(h - 0.667f));
  return v(0.05f + 0.68f * c.x * c.x, 0.05f + 0.54f * c.y * c.y, 0.07f + 0.62f * c.z * c.z);
}

static int place(float x, float z, float r, float gap) {
  if (spheres == SPHERES_MAX) return -1;
  for (int i = 0; i < spheres; i++) {
    float dx = x - sx[i], dz = z - sz[i], dy = r - sy[i], reach = r + sr[i] + gap;
    if (dx * dx + dy * dy + dz * dz < reach * reach) return -1;
  }
  int i = spheres++;
  sx[i] = x; sy[i] = r; sz[i] = z; sr[i] = r;
  return i;
}

static void build(u32 s) {
  seed = s;
  float base = chance(s, 1), swing = chance(s, 2);
  /* Late light from the left or the right, in front of the camera or beside it. */
  float side = chance(s, 3) < 0.5f ? -1.0f : 1.0f;
  sun = unit(v(side * (0.62f + 0.25f * chance(s, 4)), 0.46f + 0.12f * chance(s, 5), 0.12f - 0.5f * chance(s, 6)));
  sun_light = v(3.6f, 2.85f, 2.0f);
  zenith = blend(v(0.04f, 0.13f, 0.40f), v(0.09f, 0.11f, 0.36f), swing);
  horizon = blend(v(0.98f, 0.58f, 0.34f), v(0.86f, 0.52f, 0.50f), swing);
  ground_light = blend(v(0.40f, 0.36f, 0.31f), v(0.35f, 0.36f, 0.39f), swing);
  ground_dark = add(scale(hue(base + 0.55f), 0.06f), v(0.028f, 0.030f, 0.038f));

  /* Three large ones: metal, glass and gloss, turned about their middle by the seed. */
  float turn = (chance(s, 7) - 0.5f) * 0.12f;
  static const float angle[3] = {0.50f, 0.80f, 0.08f}, distance[3] = {1.75f, 0.85f, 1.70f};
  static const float radius[3] = {1.15f, 0.82f, 0.98f};
  int first = chance(s, 8) < 0.5f ? 0 : 2;
  for (int i = 0; i < 3; i++) {
    float a = angle[i] + turn;
    int at = place(distance[i] * cowave(a), distance[i] * wave(a) + 0.3f, radius[i], 0.02f);
    if (at < 0) continue;
    if (i == 1) { kind[at] = GLASS; colour[at] = v(0.95f, 0.98f, 0.97f); }
    else if (i == first) { kind[at] = METAL; colour[at] = blend(v(0.98f, 0.80f, 0.50f), v(0.93f, 0.93f, 0.95f), down(swing * 2)); }
    else { kind[at] = GLOSS; colour[at] = hue(base); }
  }
  /* Neighbours of the first colour on the circle, and what faces it. */
  static const float harmony[6] = {0.0f, 0.09f, -0.08f, 0.46f, 0.54f, 0.17f};
  /* The small ones spread like seeds of a sunflower, larger and sparser outwards. */
  for (u32 i = 3; i < 190; i++) {
    float away = 0.62f * root((float)i), a = (float)i * 0.38196601f + chance(s, 9);
    float r = 0.13f + 0.20f * chance(s, 100 + i) * chance(s, 300 + i) + 0.012f * away;
    float x = away * cowave(a), z = away * wave(a) + 1.1f;
    if (z < -4.1f || x * x > 34 + z * z * 0.3f || chance(s, 900 + i) < 0.30f) continue;
    int at = place(x, z, r, 0.10f);
    if (at < 0) continue;
    float pick = chance(s, 500 + i), h = base + harmony[scramble(s + i) % 6] + 0.04f * chance(s, 700 + i);
    kind[at] = pick < 0.60f ? GLOSS : pick < 0.84f ? METAL : GLASS;
    colour[at] = hue(h);
    if (kind[at] == METAL) colour[at] = blend(colour[at], v(0.95f, 0.93f, 0.90f), 0.45f);
    if (kind[at] == GLASS) colour[at] = blend(colour[at], v(1, 1, 1), 0.72f);
  }
}

/* The nearest sphere in front, or -1. */
static int hit(vec o, vec d, float *t) {
  int nearest = -1;
  float best = *t;
  for (int i = 0; i < spheres; i++) {
    float cx = sx[i] - o.x, cy = sy[i] - o.y, cz = sz[i] - o.z;
    float b = cx * d.x + cy * d.y + cz * d.z;
    if (b < -sr[i]) continue;
    float h = b * b - (cx * cx + cy * cy + cz * cz) + sr[i] * sr[i];
    if (h <= 0) continue;
    float q = root(h), near = b - q;
    if (near < 1e-3f) near = b + q;
    if (near > 1e-3f && near < best) { best = near; nearest = i; }
  }
  *t = best;
  return nearest;
}

static float noise(float x, float y) {
  float ix = down(x), iy = down(y), fx = x - ix, fy = y - iy;
  fx = fx * fx * (3 - 2 * fx); fy = fy * fy * (3 - 2 * fy);
  u32 a = (u32)(int)ix * 0x9e3779b1u, b = (u32)(int)iy * 0x85ebca77u;
  u32 a1 = a + 0x9e3779b1u, b1 = b + 0x85ebca77u;
#define CORNER(p, q) ((float)(scramble((p) ^ (q) ^ seed) >> 8) * (1.0f / 16777216.0f))
  return mix(mix(CORNER(a, b), CORNER(a1, b), fx), mix(CORNER(a, b1), CORNER(a1, b1), fx), fy);
}

static vec sky(vec d, int detail) {
  float up = most(d.y, 0), s = most(dot(d, sun), 0);
  float low = power2(-up * 8.5f);
  vec c = blend(zenith, horizon, low);
  /* Warm towards the sun. */
  float s4 = s * s * s * s;
  c = add(c, scale(v(0.55f, 0.30f, 0.10f), s4 * (0.25f + 0.6f * low)));
  if (detail && d.y > 0.015f) {
    float k = 1.15f / (d.y + 0.10f), x = d.x * k + 31, z = d.z * k * 1.9f + 17, sum = 0, weight = 0.5f;
    for (int i = 0; i < 4; i++) { sum += weight * noise(x, z); x = x * 2.03f + 5; z = z * 2.03f + 3; weight *= 0.5f; }
    float cloud = step(0.47f, 0.78f, sum) * step(0.015f, 0.16f, d.y) * 0.72f;
    c = blend(c, add(v(0.90f, 0.80f, 0.76f), scale(v(0.6f, 0.4f, 0.2f), s4)), cloud);
  }
  float s64 = power(s, 900);
  return add(c, add(scale(sun_light, power(s, 90) * 0.22f), scale(sun_light, s64 * 6)));
}

/* How much of the sun is seen from a point: analytic penumbra of every sphere in the way; glass lets light through and
 * gathers some of it. */
static vec sunshine(vec p) {
  vec light = v(1, 1, 1);
  for (int i = 0; i < spheres; i++) {
    float ox = p.x - sx[i], oy = p.y - sy[i], oz = p.z - sz[i];
    float b = ox * sun.x + oy * sun.y + oz * sun.z;
    if (b >= 0) continue;
    float r = sr[i], away2 = ox * ox + oy * oy + oz * oz - b * b;
    float reach = r - b * 0.11f;
    if (away2 > reach * reach) continue;
    if (away2 + b * b < r * r * 1.0002f) continue;
    float away = root(most(away2, 0)), soft = 0.055f * -b + 1e-4f;
    float dark = step(r + soft, r - soft, away);
    if (kind[i] == GLASS) {
      float centre = 1 - least(away / r, 1), gather = centre * centre * centre;
      vec through = scale(colour[i], 0.42f + 1.5f * gather);
      light = mul(light, blend(v(1, 1, 1), through, dark));
    } else {
      light = scale(light, 1 - dark);
    }
    if (light.x + light.y + light.z < 0.003f) return v(0, 0, 0);
  }
  return light;
}

/* How much of the sky is seen from a point. */
static float openness(vec p, vec n) {
  float open = 1;
  for (int i = 0; i < spheres; i++) {
    float dx = sx[i] - p.x, dy = sy[i] - p.y, dz = sz[i] - p.z;
    float l2 = dx * dx + dy * dy + dz * dz, r2 = sr[i] * sr[i];
    if (l2 > r2 * 60 || l2 < r2 * 1.0005f) continue;
    float nl = n.x * dx + n.y * dy + n.z * dz;
    if (nl <= 0) continue;
    open *= 1 - least(nl * r2 / (l2 * root(l2)), 0.97f) * (kind[i] == GLASS ? 0.5f : 1.0f);
  }
  return open;
}

static vec ambient(vec p, vec n, float open) {
  float up = 0.5f + 0.5f * n.y;
  vec from_sky = blend(scale(horizon, 0.55f), add(scale(zenith, 1.1f), scale(horizon, 0.25f)), up * up);
  vec from_ground = scale(blend(ground_dark, ground_light, 0.5f), 0.75f * (0.35f + 0.65f * step(0, 1.2f, p.y)));
  return scale(blend(from_ground, from_sky, up), 0.62f * open);
}

static vec trace(vec o, vec d, int depth, float weight);

static vec lit(vec p, vec n, vec albedo) {
  float facing = dot(n, sun);
  vec light = ambient(p, n, openness(p, n));
  if (facing > 0) light = add(light, scale(mul(sun_light, sunshine(p)), facing));
  return mul(albedo, light);
}

/* Unit again: the errors of a few bounces multiply. */
static vec reflect(vec d, vec n) { return unit(sub(d, scale(n, 2 * dot(d, n)))); }

static float fresnel(float cosine, float base) {
  float m = clamp(1 - cosine, 0, 1), m2 = m * m;
  return base + (1 - base) * m2 * m2 * m;
}

static vec highlight(vec p, vec n, vec r, float sharp, float strength) {
  float s = dot(r, sun);
  if (s <= 0 || dot(n, sun) <= 0) return v(0, 0, 0);
  return scale(mul(sun_light, sunshine(p)), power(s, sharp) * strength);
}

/* The floor: large checks, smoothed with distance, polished. */
static vec floor_seen(vec o, vec d, float t, int depth, float weight) {
  vec p = add(o, scale(d, t)), n = v(0, 1, 0);
  p.y = 0;
  float x = p.x * 0.85f + 100.5f, z = p.z * 0.85f + 100;
  float width = clamp(t * 0.0022f / most(-d.y, 0.03f), 0.004f, 1);
  float fx = x - 2 * down(x * 0.5f), fz = z - 2 * down(z * 0.5f);
  /* A square wave with edges as wide as a pixel. */
  float ax = clamp((1 - (fx > 1 ? 2 - fx : fx) * 2) / width * 0.5f + 0, -1, 1);
  float az = clamp((1 - (fz > 1 ? 2 - fz : fz) * 2) / width * 0.5f + 0, -1, 1);
  float check = 0.5f + 0.5f * ax * az * step(1.0f, 0.35f, width);
  float grain = 0.94f + 0.12f * noise(p.x * 3.1f, p.z * 3.1f);
  vec c = lit(p, n, scale(blend(ground_dark, ground_light, check), grain));
  float mirror = fresnel(-d.y, 0.045f) * 0.75f;
  if (depth > 0 && mirror * weight > 0.015f) {
    vec seen = trace(add(p, scale(n, 1e-3f)), reflect(d, n), depth - 1, weight * mirror);
    c = blend(c, seen, mirror);
  }
  float haze = 1 - power2(-most(t - 6, 0) * 0.045f);
  vec far = unit(v(d.x, 0.01f, d.z));
  return blend(c, sky(far, 0), haze);
}

static vec trace(vec o, vec d, int depth, float weight) {
  float t = 1e9f;
  int at = hit(o, d, &t);
  if (d.y < -1e-4f) {
    float ground = -o.y / d.y;
    if (ground > 1e-3f && ground < t) return floor_seen(o, d, ground, depth, weight);
  }
  if (at < 0) return sky(d, weight > 0.2f);
  vec p = add(o, scale(d, t)), centre = v(sx[at], sy[at], sz[at]);
  vec n = unit(sub(p, centre));
  float facing = -dot(d, n);
  vec r = reflect(d, n), outside = add(p, scale(n, 2e-3f));

  if (kind[at] == GLASS) {
    /* In, straight through the ball, out: both surfaces at once. */
    float mirror = fresnel(facing, 0.04f);
    vec c = highlight(outside, n, r, 1600, 12);
    if (depth <= 0) return add(c, sky(d, 0));
    if (mirror * weight > 0.02f) c = add(c, scale(trace(outside, r, depth - 1, weight * mirror), mirror));
    float eta = 1 / 1.48f, k = 1 - eta * eta * (1 - facing * facing);
    vec in = unit(add(scale(d, eta), scale(n, eta * facing - root(most(k, 0)))));
    float through = -2 * dot(in, n) * sr[at];
    vec q = add(p, scale(in, through)), m = unit(sub(centre, q));
    float inner = -dot(in, m), k2 = 1 - 1.48f * 1.48f * (1 - inner * inner);
    vec out = k2 > 0 ? unit(add(scale(in, 1.48f), scale(m, 1.48f * inner - root(k2)))) : reflect(in, m);
    vec seen = trace(sub(q, scale(m, 2e-3f)), out, depth - 1, weight * (1 - mirror) * 0.9f);
    float thick = through / (2 * sr[at]);
    vec tint = blend(v(1, 1, 1), colour[at], thick);
    return add(c, scale(mul(seen, tint), 1 - mirror));
  }
  if (kind[at] == METAL) {
    vec f = blend(colour[at], v(1, 1, 1), fresnel(facing, 0) * 0.9f);
    vec seen = depth > 0 && weight > 0.03f ? trace(outside, r, depth - 1, weight * 0.8f) : sky(r, 0);
    float open = 0.35f + 0.65f * openness(outside, n);
    return add(scale(mul(f, seen), open), mul(f, highlight(outside, n, r, 380, 2.2f)));
  }
  vec c = lit(outside, n, colour[at]);
  float mirror = fresnel(facing, 0.045f);
  c = scale(c, 1 - mirror);
  if (depth > 0 && mirror * weight > 0.015f) c = add(c, scale(trace(outside, r, depth - 1, weight * mirror), mirror));
  else c = add(c, scale(sky(r, 0), mirror * 0.6f));
  return add(c, highlight(outside, n, r, 520, 1.6f));
}

/* ---- the picture ------------------------------------------------------------------------------------------------ */

/* Film: the rational curve that goes by the name of ACES, then the display's exponent. */
static u8 develop(float x) {
  x = most(x * 0.80f, 0);
  x = x * (2.51f * x + 0.03f) / (x * (2.43f * x + 0.59f) + 0.14f);
  return (u8)(power(clamp(x, 0, 1), 1 / 2.2f) * 255.0f + 0.5f);
}

static u8 row_bytes[3 * 16384];

static _Noreturn void bad(const char *words, u32 bytes) {
  struct iovec one = {(void *)words, bytes};
  u32 written;
  fd_write(2, &one, 1, &written);
  proc_exit(2);
}
#define BAD(words) bad(words "\n", sizeof(words))

static void render(u32 width, u32 height, u32 left, u32 right, u32 top, u32 bottom, u32 samples) {
  vec eye = v(0.35f * (chance(seed, 11) - 0.5f), 1.75f, -7.4f), at = v(0, 0.74f, 0.3f);
  vec ahead = unit(sub(at, eye)), across = unit(v(ahead.z, 0, -ahead.x));
  vec up = v(ahead.y * across.z, ahead.z * across.x - ahead.x * across.z, -ahead.y * across.x);
  float zoom = 1.18f * 2 / (float)height * 0.5f * 0.70f;
  for (u32 y = top; y < bottom; y++) {
    u8 *pixel = row_bytes;
    for (u32 x = left; x < right; x++) {
      vec sum = v(0, 0, 0);
      u32 mark = scramble(x * 0x9e3779b1u ^ scramble(y));
      float shift_x = (float)(mark & 0xffff) / 65536.0f, shift_y = (float)(mark >> 16) / 65536.0f;
      for (u32 s = 0; s < samples; s++) {
        /* Points that fill the square evenly, shifted from pixel to pixel. */
        float jx = shift_x + 0.75487767f * (float)s, jy = shift_y + 0.56984029f * (float)s;
        jx -= down(jx); jy -= down(jy);
        float px = ((float)x + jx - 0.5f * (float)width) * zoom;
        float py = (0.5f * (float)height - (float)y - jy) * zoom;
        vec d = unit(add(ahead, add(scale(across, px), scale(up, py))));
        vec c = trace(eye, d, 6, 1);
        /* One bright point must not outshine its pixel. */
        float peak = most(c.x, most(c.y, c.z));
        if (peak > 4) c = scale(c, 4 / peak);
        sum = add(sum, c);
      }
      sum = scale(sum, 1.0f / (float)samples);
      float ux = (float)x / (float)width - 0.5f, uy = (float)y / (float)height - 0.5f;
      float lens = 1 - 0.42f * (ux * ux + uy * uy);
      *pixel++ = develop(sum.x * lens);
      *pixel++ = develop(sum.y * lens);
      *pixel++ = develop(sum.z * lens);
    }
    struct iovec one = {row_bytes, (u32)(pixel - row_bytes)};
    u32 written;
    if (fd_write(1, &one, 1, &written)) proc_exit(3);
  }
}

static char text[256];
static char names[1024];
static char *name_list[16];

static u32 segment(void) {
  u32 count, bytes;
  if (environ_sizes_get(&count, &bytes) || count > 16 || bytes > sizeof names) BAD("the environment is too large");
  if (environ_get(name_list, names)) BAD("no environment");
  for (u32 i = 0; i < count; i++) {
    const char *key = "GONGSUAN_SEGMENT=", *at = name_list[i];
    while (*key && *key == *at) key++, at++;
    if (*key) continue;
    u32 value = 0;
    while (*at >= '0' && *at <= '9') value = value * 10 + (u32)(*at++ - '0');
    return value;
  }
  BAD("GONGSUAN_SEGMENT is not set");
}

void _start(void) {
  struct iovec one = {text, sizeof text - 1};
  u32 got;
  if (fd_read(0, &one, 1, &got)) BAD("no input");
  u64 number[6];
  u32 at = 0;
  for (int i = 0; i < 6; i++) {
    while (at < got && (text[at] == ' ' || text[at] == '\n')) at++;
    if (at == got || text[at] < '0' || text[at] > '9') BAD("expected: width height columns rows seed samples");
    number[i] = 0;
    while (at < got && text[at] >= '0' && text[at] <= '9') number[i] = number[i] * 10 + (u64)(text[at++] - '0');
  }
  u64 width = number[0], height = number[1], columns = number[2], rows = number[3], samples = number[5];
  if (!width || width > 16384 || !height || height > 16384) BAD("width and height must be 1 to 16384");
  if (!columns || columns > width || !rows || rows > height) BAD("columns and rows must be 1 to width and height");
  if (!samples || samples > 256) BAD("samples must be 1 to 256");
  u64 tile = segment();
  if (tile >= columns * rows) BAD("there is no such tile");
  build((u32)number[4] ^ scramble((u32)(number[4] >> 32)));
  u64 column = tile % columns, row = tile / columns;
  render((u32)width, (u32)height, (u32)(width * column / columns), (u32)(width * (column + 1) / columns),
         (u32)(height * row / rows), (u32)(height * (row + 1) / rows), (u32)samples);
}
