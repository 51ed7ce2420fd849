/* Fused passes of the search, the physical merge and the correction, for CPUs; kernels.py calls them.

   Each computes the rows `begin` to `end - 1` of its result, so that threads share a picture by its rows; its call, of
   the same name and `_rows`, stands at the end. Pictures
   are planes of float32, one after the other, row by row; full size is H x W, half size h x w with h = ceil(H / 2)
   and w = ceil(W / 2). What is computed, and why, stands beside the same in torch: motion.py, physical_merge.py,
   correction.py. NaN in a picture makes NaN around it and reads nothing beyond its borders. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(_MSC_VER)
#define EXPORT __declspec(dllexport)
#define INLINE static __forceinline
#else
#define EXPORT __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))
#endif

/* No iteration of the next loop writes what another one reads, whatever the pointers may look like. */
#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define INDEPENDENT _Pragma("GCC ivdep")
#elif defined(_MSC_VER)
#define INDEPENDENT __pragma(loop(ivdep))
#else
#define INDEPENDENT
#endif

#define MU 5000.0f
#define LOG_MU 8.517393171f /* log(1 + MU) */

/* setuptools builds this as if it were a module of Python; it is loaded as a library, and never imported. */
EXPORT void *PyInit__kernels(void) { return NULL; }

/* ------------------------------------------------------------------ numbers */

INLINE float least(float a, float b) { return a < b ? a : b; }
INLINE float most(float a, float b) { return a > b ? a : b; }
INLINE float clamp(float v, float low, float high) { return least(most(v, low), high); }
INLINE int between(int v, int low, int high) { return v < low ? low : v > high ? high : v; }

/* The natural logarithm of a positive number; the polynomial is that of Cephes (Moshier 1989). */
INLINE float natural_log(float v) {
  int32_t bits, mantissa;
  memcpy(&bits, &v, 4);
  int32_t exponent = (bits - 0x3f3504f3) >> 23; /* so that the rest lies in sqrt(1/2) .. sqrt(2) */
  mantissa = bits - exponent * (1 << 23);
  memcpy(&v, &mantissa, 4);
  float f = v - 1, e = (float)exponent;
  float y = 7.0376836292e-2f;
  y = y * f - 1.1514610310e-1f;
  y = y * f + 1.1676998740e-1f;
  y = y * f - 1.2420140846e-1f;
  y = y * f + 1.4249322787e-1f;
  y = y * f - 1.6668057665e-1f;
  y = y * f + 2.0000714765e-1f;
  y = y * f - 2.4999993993e-1f;
  y = y * f + 3.3333331174e-1f;
  y = y * f * f * f - 2.12194440e-4f * e - 0.5f * f * f;
  return f + y + 0.693359375f * e;
}

/* The natural exponential, likewise. */
INLINE float exponential(float v) {
  v = clamp(v, -87.0f, 88.0f);
  float turns = v * 1.44269504f + 12582912.0f; /* 1.5 * 2^23: no place is left for a fraction */
  float whole = turns - 12582912.0f;
  int32_t n = (int32_t)whole;
  float r = v - whole * 0.693359375f + whole * 2.12194440e-4f;
  float y = 1.9875691500e-4f;
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * r * r + r + 1;
  int32_t bits = (n + 127) * (1 << 23);
  float power;
  memcpy(&power, &bits, 4);
  return y * power;
}

INLINE float mu_law(float radiance) { return natural_log(1 + MU * radiance) * (1 / LOG_MU); }
INLINE float mu_law_inverse(float compressed) { return (exponential(compressed * LOG_MU) - 1) * (1 / MU); }
INLINE float mu_law_slope(float radiance) { return MU / (1 + MU * radiance) * (1 / LOG_MU); }

/* --------------------------------------------------------------------- rows */

/* A row of a picture W wide as 2w values; the last one is repeated in `copy` where W is odd. */
INLINE const float *even_row(const float *plane, int y, int W, int w, float *copy) {
  const float *row = plane + (size_t)y * W;
  if (W == 2 * w) return row;
  memcpy(copy, row, W * sizeof(float));
  copy[W] = row[W - 1];
  return copy;
}

/* The means of 2 x 2 pixels of two rows. */
INLINE void halve_rows(const float *upper, const float *lower, int w, float *half) {
  INDEPENDENT
  for (int j = 0; j < w; j++)
    half[j] = ((upper[2 * j] + lower[2 * j]) + (upper[2 * j + 1] + lower[2 * j + 1])) * 0.25f;
}

/* Row y of a picture of full size by bilinear interpolation of one of half size; `between_rows` takes w + 2 values. */
INLINE void double_row(const float *half, int h, int w, int y, float *between_rows, float *full) {
  int near = y / 2, far = between(y % 2 ? near + 1 : near - 1, 0, h - 1);
  const float *a = half + (size_t)near * w, *b = half + (size_t)far * w;
  float *mixed = between_rows + 1;
  INDEPENDENT
  for (int j = 0; j < w; j++) mixed[j] = 0.75f * a[j] + 0.25f * b[j];
  mixed[-1] = mixed[0];
  mixed[w] = mixed[w - 1];
  INDEPENDENT
  for (int j = 0; j < w; j++) {
    full[2 * j] = 0.75f * mixed[j] + 0.25f * mixed[j - 1];
    full[2 * j + 1] = 0.75f * mixed[j] + 0.25f * mixed[j + 1];
  }
}

/* Sums of `side` neighbors in a row whose ends are padded with zeros: `padded` holds w + side - 1 values. */
INLINE void sum_of(const float *padded, int w, int side, float *sums) {
  INDEPENDENT
  for (int j = 0; j < w; j++) {
    float total = padded[j];
    for (int step = 1; step < side; step++) total += padded[j + step];
    sums[j] = total;
  }
}

INLINE void sum_across(const float *padded, int w, int side, float *sums) {
  switch (side) { /* with a constant the inner loop is unrolled and the outer one done many at a time */
  case 3: sum_of(padded, w, 3, sums); break;
  case 5: sum_of(padded, w, 5, sums); break;
  case 7: sum_of(padded, w, 7, sums); break;
  case 9: sum_of(padded, w, 9, sums); break;
  default: sum_of(padded, w, side, sums);
  }
}

/* Sums of `side` rows that lie one below the other. */
INLINE void add_rows(const float *rows, int w, int side, float *sums) {
  INDEPENDENT
  for (int j = 0; j < w; j++) {
    float total = rows[j];
    for (int step = 1; step < side; step++) total += rows[(size_t)step * w + j];
    sums[j] = total;
  }
}

INLINE void sum_down(const float *rows, int w, int side, float *sums) {
  switch (side) {
  case 3: add_rows(rows, w, 3, sums); break;
  case 5: add_rows(rows, w, 5, sums); break;
  case 7: add_rows(rows, w, 7, sums); break;
  case 9: add_rows(rows, w, 9, sums); break;
  default: add_rows(rows, w, side, sums);
  }
}

INLINE int covered(int place, int length, int radius) {
  return between(place + radius, 0, length - 1) - between(place - radius, 0, length - 1) + 1;
}

/* Inverse numbers of pixels in view of a square around each place of row y. */
INLINE void inverse_counts(int y, int h, int w, int radius, float *inverse) {
  float rows = (float)covered(y, h, radius);
  INDEPENDENT
  for (int j = 0; j < w; j++) inverse[j] = 1 / (rows * (float)covered(j, w, radius));
}

/* Mean over a square around each pixel of row y; beyond the border nothing counts. */
INLINE void box_row(const float *plane, int y, int h, int w, int side, float *padded, float *means) {
  int radius = side / 2;
  int first = between(y - radius, 0, h - 1), last = between(y + radius, 0, h - 1);
  float rows = (float)(last - first + 1);
  for (int j = 0; j < radius; j++) padded[j] = padded[radius + w + j] = 0;
  sum_down(plane + (size_t)first * w, w, last - first + 1, padded + radius);
  sum_across(padded, w, side, means);
  float inside = 1 / (rows * (float)side);
  INDEPENDENT
  for (int j = 0; j < w; j++) means[j] *= inside;
  for (int j = 0; j < w && j < radius; j++) means[j] *= (float)side / (float)covered(j, w, radius);
  for (int j = radius > w - radius ? radius : w - radius; j < w; j++) means[j] *= (float)side / (float)covered(j, w, radius);
}

INLINE void box(const float *planes, int count, int h, int w, int side, float *out, int begin, int end) {
  float *padded = malloc((w + side) * sizeof(float));
  for (int p = 0; p < count; p++) {
    const float *plane = planes + (size_t)p * h * w;
    for (int y = begin; y < end; y++)
      box_row(plane, y, h, w, side, padded, out + ((size_t)p * h + y) * w);
  }
  free(padded);
}

/* ------------------------------------------------------------------- motion */

typedef struct {
  int x0, x1, y0, y1;
  float right, down;
} Spot;

INLINE Spot spot_at(float x, float y, int H, int W) {
  x = clamp(x, 0, (float)(W - 1));
  y = clamp(y, 0, (float)(H - 1));
  Spot s;
  s.x0 = between((int)x, 0, W - 1);
  s.y0 = between((int)y, 0, H - 1);
  s.x1 = s.x0 + (s.x0 < W - 1);
  s.y1 = s.y0 + (s.y0 < H - 1);
  s.right = x - (float)s.x0;
  s.down = y - (float)s.y0;
  return s;
}

INLINE float sample(const float *plane, Spot s, int W) {
  float a = plane[s.y0 * W + s.x0], b = plane[s.y1 * W + s.x0];
  a += s.right * (plane[s.y0 * W + s.x1] - a);
  b += s.right * (plane[s.y1 * W + s.x1] - b);
  return a + s.down * (b - a);
}

/* Lumas, (batch, h, w), of encoded pictures, (batch, 3, h, w), whose codes are brought to another exposure by `gains`
   and are nearly linear below `toes`. */
INLINE void match_lumas(const float *pictures, const float *gains, const float *toes, float gamma, int batch, int h,
                        int w, float *out, int begin, int end) {
  size_t plane = (size_t)h * w;
  for (int p = 0; p < batch; p++) {
    float gain = gains[p], toe = toes[p], black = powf(toe, 1 / gamma);
    float scale = 1 / (powf(1 + toe, 1 / gamma) - black);
    for (int y = begin; y < end; y++) {
      const float *r = pictures + (size_t)(3 * p) * plane + (size_t)y * w, *g = r + plane, *b = g + plane;
      float *to = out + (size_t)p * plane + (size_t)y * w;
      INDEPENDENT
      for (int x = 0; x < w; x++) {
        float luma = 0.299f * least(clamp(r[x], 0, 1) * gain, 1) + 0.587f * least(clamp(g[x], 0, 1) * gain, 1) +
                     0.114f * least(clamp(b[x], 0, 1) * gain, 1);
        float linear = exponential(gamma * natural_log(most(luma, 1e-12f)));
        to[x] = (exponential(natural_log(linear + toe) * (1 / gamma)) - black) * scale;
      }
    }
  }
}

/* Fetch `batch` planes at x + flow; rows of the result lie w + 2 margin apart, their ends repeated in the margins. */
INLINE void warp_planes(const float *planes, const float *flow, int batch, int h, int w, int margin, float *out,
                        int begin, int end) {
  int stride = w + 2 * margin;
  for (int p = 0; p < batch; p++) {
    const float *plane = planes + (size_t)p * h * w;
    for (int y = begin; y < end; y++) {
      const float *fx = flow + ((size_t)(2 * p) * h + y) * w, *fy = flow + ((size_t)(2 * p + 1) * h + y) * w;
      float *row = out + ((size_t)p * h + y) * stride + margin;
      INDEPENDENT
      for (int x = 0; x < w; x++) row[x] = sample(plane, spot_at(fx[x] + (float)x, fy[x] + (float)y, h, w), w);
      for (int m = 1; m <= margin; m++) {
        row[-m] = row[0];
        row[w - 1 + m] = row[w - 1];
      }
    }
  }
}

/* Add to a flow the whole step, of at most `radius`, whose square of pixels differs least from the reference's. */
INLINE void compare_blocks(const float *reference, const float *warped, const float *certainty, const float *flow,
                           int batch, int h, int w, int radius, int block, float step_cost, float *out, int begin,
                           int end) {
  int stride = w + 2 * radius, reach = block / 2;
  float *padded = malloc((size_t)(w + block + 5 * w) * sizeof(float));
  float *sums = padded + w + block, *lowest = sums + w, *right = lowest + w, *down = right + w, *inverse = down + w;
  float *total = padded + reach;
  for (int p = 0; p < batch; p++) {
    size_t plane = (size_t)p * h * w;
    const float *moved = warped + (size_t)p * h * stride;
    for (int y = begin; y < end; y++) {
      int first = between(y - reach, 0, h - 1), last = between(y + reach, 0, h - 1);
      inverse_counts(y, h, w, reach, inverse);
      INDEPENDENT
      for (int x = 0; x < w; x++) lowest[x] = INFINITY, right[x] = 0, down[x] = 0;
      for (int dy = -radius; dy <= radius; dy++) {
        for (int dx = -radius; dx <= radius; dx++) {
          for (int x = 0; x < reach; x++) padded[x] = padded[reach + w + x] = 0;
          for (int r = first; r <= last; r++) {
            const float *a = reference + plane + (size_t)r * w, *sure = certainty + plane + (size_t)r * w;
            const float *b = moved + (size_t)between(r + dy, 0, h - 1) * stride + radius + dx;
            if (r == first) {
              INDEPENDENT
              for (int x = 0; x < w; x++) total[x] = fabsf(a[x] - b[x]) * sure[x];
            } else {
              INDEPENDENT
              for (int x = 0; x < w; x++) total[x] += fabsf(a[x] - b[x]) * sure[x];
            }
          }
          sum_across(padded, w, block, sums);
          float extra = step_cost * (float)(abs(dx) + abs(dy)), fx = (float)dx, fy = (float)dy;
          INDEPENDENT
          for (int x = 0; x < w; x++) {
            float cost = sums[x] * inverse[x] + extra;
            int better = cost < lowest[x];
            lowest[x] = better ? cost : lowest[x];
            right[x] = better ? fx : right[x];
            down[x] = better ? fy : down[x];
          }
        }
      }
      size_t place = 2 * plane + (size_t)y * w, next = place + (size_t)h * w;
      INDEPENDENT
      for (int x = 0; x < w; x++) {
        out[place + x] = flow[place + x] + right[x];
        out[next + x] = flow[next + x] + down[x];
      }
    }
  }
  free(padded);
}

/* Fetch `batch` planes of full size at x + 2 flow, of a flow of half size; margins as above. */
INLINE void warp_by_half(const float *planes, const float *flow, int batch, int H, int W, int margin, float *out,
                         int begin, int end) {
  int h = (H + 1) / 2, w = (W + 1) / 2, stride = W + 2 * margin;
  float *mixed = malloc((size_t)(w + 2 + 4 * w) * sizeof(float));
  float *fx = mixed + w + 2, *fy = fx + 2 * w;
  for (int p = 0; p < batch; p++) {
    const float *plane = planes + (size_t)p * H * W, *half = flow + (size_t)(2 * p) * h * w;
    for (int y = begin; y < end; y++) {
      double_row(half, h, w, y, mixed, fx);
      double_row(half + (size_t)h * w, h, w, y, mixed, fy);
      float *row = out + ((size_t)p * H + y) * stride + margin;
      INDEPENDENT
      for (int x = 0; x < W; x++) row[x] = sample(plane, spot_at(2 * fx[x] + (float)x, 2 * fy[x] + (float)y, H, W), W);
      for (int m = 1; m <= margin; m++) {
        row[-m] = row[0];
        row[W - 1 + m] = row[W - 1];
      }
    }
  }
  free(mixed);
}

/* Mean absolute differences of 2 x 2 pixels of row i of half size, of the nine shifts by a pixel of full size: nine rows
   of w; `pair` takes 4 w. */
INLINE void shifted_differences(const float *reference, const float *warped, int i, int H, int W, float *pair,
                                float *nine) {
  int w = (W + 1) / 2, stride = W + 2;
  for (int s = 0; s < 9; s++) {
    for (int below = 0; below < 2; below++) {
      int y = between(2 * i + below, 0, H - 1);
      const float *a = reference + (size_t)y * W;
      const float *b = warped + (size_t)between(y + s / 3 - 1, 0, H - 1) * stride + s % 3;
      float *row = pair + below * 2 * w;
      INDEPENDENT
      for (int x = 0; x < W; x++) row[x] = fabsf(a[x] - b[x]);
      if (W % 2) row[W] = row[W - 1];
    }
    halve_rows(pair, pair + 2 * w, w, nine + (size_t)s * w);
  }
}

/* Rows of differences, `kinds` for each row of a picture; as many rows of that are kept as a block is high. */
typedef struct {
  float *rows;
  int kinds, block, known; /* rows before `known` are there */
} Ring;

INLINE float *ring_row(const Ring *ring, int i, int kind, int w) {
  return ring->rows + ((size_t)(i % ring->block) * ring->kinds + kind) * w;
}

/* Costs of one kind in row i: means over a block of differences times their certainty; `padded` takes w + block. */
INLINE void block_costs(const Ring *ring, int i, int kind, int h, int w, const float *certainty, const float *inverse,
                        float *padded, float *costs) {
  int reach = ring->block / 2, first = between(i - reach, 0, h - 1), last = between(i + reach, 0, h - 1);
  float *total = padded + reach;
  for (int j = 0; j < reach; j++) padded[j] = padded[reach + w + j] = 0;
  memset(total, 0, w * sizeof(float));
  for (int r = first; r <= last; r++) {
    const float *row = ring_row(ring, r, kind, w), *sure = certainty + (size_t)r * w;
    INDEPENDENT
    for (int j = 0; j < w; j++) total[j] += row[j] * sure[j];
  }
  sum_across(padded, w, ring->block, costs);
  INDEPENDENT
  for (int j = 0; j < w; j++) costs[j] *= inverse[j];
}

/* Keep what costs less than anything before. */
INLINE void take_cheaper(const float *costs, float extra, const float *fx, const float *fy, int w, float *lowest,
                         float *right, float *down) {
  INDEPENDENT
  for (int j = 0; j < w; j++) {
    float cost = costs[j] + extra;
    int better = cost < lowest[j];
    lowest[j] = better ? cost : lowest[j];
    right[j] = better ? fx[j] : right[j];
    down[j] = better ? fy[j] : down[j];
  }
}

/* Add to a flow of half size the step of half its pixel, to one of eight sides, whose square differs least. */
INLINE void compare_finely(const float *reference, const float *warped, const float *certainty, const float *flow,
                           int batch, int H, int W, int block, float step_cost, float *out, int begin, int end) {
  int h = (H + 1) / 2, w = (W + 1) / 2, reach = block / 2;
  Ring ring = {malloc(((size_t)9 * block * w + w + block + 11 * w) * sizeof(float)), 9, block, 0};
  float *padded = ring.rows + (size_t)9 * block * w, *pair = padded + w + block, *costs = pair + 4 * w;
  float *lowest = costs + w, *inverse = lowest + w, *sx = inverse + w, *sy = sx + w, *right = sy + w, *down = right + w;
  size_t full = (size_t)H * W, half = (size_t)h * w;
  for (int p = 0; p < batch; p++) {
    ring.known = between(begin - reach, 0, h);
    for (int i = begin; i < end; i++) {
      for (; ring.known <= between(i + reach, 0, h - 1); ring.known++)
        shifted_differences(reference + p * full, warped + (size_t)p * H * (W + 2), ring.known, H, W, pair,
                            ring_row(&ring, ring.known, 0, w));
      inverse_counts(i, h, w, reach, inverse);
      INDEPENDENT
      for (int j = 0; j < w; j++) lowest[j] = INFINITY, right[j] = 0, down[j] = 0;
      for (int s = 0; s < 9; s++) {
        float step_x = (float)(s % 3 - 1) * 0.5f, step_y = (float)(s / 3 - 1) * 0.5f;
        INDEPENDENT
        for (int j = 0; j < w; j++) sx[j] = step_x, sy[j] = step_y;
        block_costs(&ring, i, s, h, w, certainty + p * half, inverse, padded, costs);
        take_cheaper(costs, step_cost * 2 * (fabsf(step_x) + fabsf(step_y)), sx, sy, w, lowest, right, down);
      }
      size_t place = 2 * p * half + (size_t)i * w, next = place + half;
      INDEPENDENT
      for (int j = 0; j < w; j++) {
        out[place + j] = flow[place + j] + right[j];
        out[next + j] = flow[next + j] + down[j];
      }
    }
  }
  free(ring.rows);
}

#define OFFERS 5 /* the flow of a place itself, and of those above, to the left, to the right and below */

/* Row i of what one of the offers is, w values each of x and y. */
INLINE void offered_row(const float *flow, int offer, int distance, int i, int h, int w, float *fx, float *fy) {
  int above = offer == 1 ? -distance : offer == 4 ? distance : 0;
  int left = offer == 2 ? -distance : offer == 3 ? distance : 0;
  const float *from = flow + (size_t)between(i + above, 0, h - 1) * w;
  for (int axis = 0; axis < 2; axis++, from += (size_t)h * w) {
    float *to = axis ? fy : fx;
    int begin = between(-left, 0, w), end = between(w - left, begin, w);
    for (int j = 0; j < begin; j++) to[j] = from[0];
    memcpy(to + begin, from + begin + left, (size_t)(end - begin) * sizeof(float));
    for (int j = end; j < w; j++) to[j] = from[w - 1];
  }
}

/* Absolute differences of a picture's row y along a flow of its size. */
INLINE void differences_along(const float *reference, const float *moved, const float *fx, const float *fy, int y, int H,
                              int W, float *differences) {
  const float *a = reference + (size_t)y * W;
  INDEPENDENT
  for (int x = 0; x < W; x++)
    differences[x] = fabsf(a[x] - sample(moved, spot_at(fx[x] + (float)x, fy[x] + (float)y, H, W), W));
}

/* Means over 2 x 2 pixels of those along a flow of half size, row i of it: the four move alike, so nine pixels serve
   them. `wide` takes 5 w. */
INLINE void fine_differences_along(const float *reference, const float *moved, const float *fx, const float *fy, int i,
                                   int H, int W, int w, float *wide, float *differences) {
  int single = 2 * i + 1 >= H; /* the last row of an odd height counts twice, likewise the last column */
  float *left = wide + 4 * w;
  const float *a = even_row(reference, 2 * i, W, w, wide);
  const float *b = single ? a : even_row(reference, 2 * i + 1, W, w, wide + 2 * w);
  INDEPENDENT
  for (int j = 0; j < w; j++) {
    float x = clamp(2 * (fx[j] + (float)j), -2, (float)(W + 1)), y = clamp(2 * (fy[j] + (float)i), -2, (float)(H + 1));
    int x0 = (int)(x + 2) - 2, y0 = (int)(y + 2) - 2;
    float across = x - (float)x0, down = y - (float)y0;
    int c0 = between(x0, 0, W - 1), c1 = between(x0 + 1, 0, W - 1), c2 = between(x0 + 2, 0, W - 1);
    int r0 = between(y0, 0, H - 1) * W, r1 = between(y0 + 1, 0, H - 1) * W, r2 = between(y0 + 2, 0, H - 1) * W;
    float v01 = moved[r0 + c1], v11 = moved[r1 + c1], v21 = moved[r2 + c1];
    float u0 = moved[r0 + c0] + across * (v01 - moved[r0 + c0]), v0 = v01 + across * (moved[r0 + c2] - v01);
    float u1 = moved[r1 + c0] + across * (v11 - moved[r1 + c0]), v1 = v11 + across * (moved[r1 + c2] - v11);
    float u2 = moved[r2 + c0] + across * (v21 - moved[r2 + c0]), v2 = v21 + across * (moved[r2 + c2] - v21);
    float upper_left = u0 + down * (u1 - u0), upper_right = v0 + down * (v1 - v0);
    float lower_left = single ? upper_left : u1 + down * (u2 - u1);
    float lower_right = single ? upper_right : v1 + down * (v2 - v1);
    left[j] = fabsf(a[2 * j] - upper_left) + fabsf(b[2 * j] - lower_left);
    differences[j] = (left[j] + fabsf(a[2 * j + 1] - upper_right) + fabsf(b[2 * j + 1] - lower_right)) * 0.25f;
  }
  if (W % 2) differences[w - 1] = left[w - 1] * 0.5f;
}

/* Give each place the flow, of its own and of those at `distance`, along which its square differs least; pictures have
   the flow's size (`scale` 1), or twice that (2). */
INLINE void propagate(const float *reference, const float *moved, const float *certainty, const float *flow, int batch,
                      int H, int W, int scale, int block, int distance, float *out, int begin, int end) {
  int h = scale == 1 ? H : (H + 1) / 2, w = scale == 1 ? W : (W + 1) / 2, reach = block / 2;
  Ring ring = {malloc(((size_t)OFFERS * block * w + w + block + 10 * w) * sizeof(float)), OFFERS, block, 0};
  float *padded = ring.rows + (size_t)OFFERS * block * w, *wide = padded + w + block, *costs = wide + 5 * w;
  float *lowest = costs + w, *inverse = lowest + w, *fx = inverse + w, *fy = fx + w;
  size_t full = (size_t)H * W, plane = (size_t)h * w;
  for (int p = 0; p < batch; p++) {
    const float *a = reference + p * full, *b = moved + p * full, *known = flow + 2 * p * plane;
    ring.known = between(begin - reach, 0, h);
    for (int i = begin; i < end; i++) {
      for (; ring.known <= between(i + reach, 0, h - 1); ring.known++) {
        for (int o = 0; o < OFFERS; o++) {
          offered_row(known, o, distance, ring.known, h, w, fx, fy);
          float *differences = ring_row(&ring, ring.known, o, w);
          if (scale == 1) differences_along(a, b, fx, fy, ring.known, H, W, differences);
          else fine_differences_along(a, b, fx, fy, ring.known, H, W, w, wide, differences);
        }
      }
      inverse_counts(i, h, w, reach, inverse);
      float *right = out + 2 * p * plane + (size_t)i * w, *down = right + plane;
      offered_row(known, 0, distance, i, h, w, right, down);
      for (int j = 0; j < w; j++) lowest[j] = INFINITY;
      for (int o = 0; o < OFFERS; o++) {
        offered_row(known, o, distance, i, h, w, fx, fy);
        block_costs(&ring, i, o, h, w, certainty + p * plane, inverse, padded, costs);
        take_cheaper(costs, 0, fx, fy, w, lowest, right, down);
      }
    }
  }
  free(ring.rows);
}

#define TERMS 9
#define MOMENTS 6

/* Products of gradients and differences of row y, weighted: TERMS rows that lie `next` apart; `rows` takes 3 (w + 2). */
INLINE void terms_of_row(const float *reference, const float *warped, int y, int h, int w, float clip_level, float *rows,
                         float *term, size_t next) {
  float *means[3] = {rows + 1, rows + w + 3, rows + 2 * w + 5};
  for (int r = -1; r <= 1; r++) {
    size_t from = (size_t)between(y + r, 0, h - 1) * w;
    float *mean = means[r + 1];
    INDEPENDENT
    for (int x = 0; x < w; x++) mean[x] = (warped[from + x] + reference[from + x]) * 0.5f;
    mean[-1] = mean[0];
    mean[w] = mean[w - 1];
  }
  const float *a = reference + (size_t)y * w, *b = warped + (size_t)y * w;
  const float *above = means[0], *here = means[1], *below = means[2];
  INDEPENDENT
  for (int x = 0; x < w; x++) {
    float gx = (here[x + 1] - here[x - 1]) * 0.5f, gy = (below[x] - above[x]) * 0.5f, error = b[x] - a[x];
    float far = error * 10;
    float weight = (most(a[x], b[x]) < clip_level ? 1.0f : 0.0f) / (1 + far * far);
    term[x] = gx * gx * weight;
    term[next + x] = gx * gy * weight;
    term[2 * next + x] = gy * gy * weight;
    term[3 * next + x] = gx * error * weight;
    term[4 * next + x] = gy * error * weight;
    term[5 * next + x] = gx * weight;
    term[6 * next + x] = gy * weight;
    term[7 * next + x] = error * weight;
    term[8 * next + x] = weight;
  }
}

/* Those of all pixels, times the certainty: (batch, TERMS, h, w). */
INLINE void gradient_terms(const float *reference, const float *warped, const float *certainty, int batch, int h, int w,
                           float clip_level, float *out, int begin, int end) {
  float *rows = malloc((size_t)(3 * (w + 2)) * sizeof(float));
  size_t next = (size_t)h * w;
  for (int p = 0; p < batch; p++) {
    for (int y = begin; y < end; y++) {
      const float *sure = certainty + p * next + (size_t)y * w;
      float *term = out + ((size_t)p * TERMS * h + y) * w;
      terms_of_row(reference + p * next, warped + p * next, y, h, w, clip_level, rows, term, next);
      for (int t = 0; t < TERMS; t++) {
        INDEPENDENT
        for (int x = 0; x < w; x++) term[t * next + x] *= sure[x];
      }
    }
  }
  free(rows);
}

/* Likewise of a picture of full size, their means over 2 x 2 pixels, times the certainty: (batch, TERMS, h, w). */
INLINE void fine_terms(const float *reference, const float *warped, const float *certainty, int batch, int H, int W,
                       float clip_level, float *out, int begin, int end) {
  int h = (H + 1) / 2, w = (W + 1) / 2;
  float *rows = malloc((size_t)(3 * (W + 2) + 2 * TERMS * 2 * w) * sizeof(float));
  float *upper = rows + 3 * (W + 2), *lower = upper + TERMS * 2 * w;
  size_t full = (size_t)H * W, half = (size_t)h * w;
  for (int p = 0; p < batch; p++) {
    for (int i = begin; i < end; i++) {
      for (int s = 0; s < 2; s++) {
        int y = between(2 * i + s, 0, H - 1);
        terms_of_row(reference + p * full, warped + p * full, y, H, W, clip_level, rows, s ? lower : upper, 2 * w);
      }
      const float *sure = certainty + p * half + (size_t)i * w;
      for (int t = 0; t < TERMS; t++) {
        float *a = upper + (size_t)t * 2 * w, *b = lower + (size_t)t * 2 * w;
        float *term = out + ((size_t)(p * TERMS + t) * h + i) * w;
        if (W % 2) a[W] = a[W - 1], b[W] = b[W - 1];
        halve_rows(a, b, w, term);
        INDEPENDENT
        for (int j = 0; j < w; j++) term[j] *= sure[j];
      }
    }
  }
  free(rows);
}

/* Covariances over squares: xx, xy, yy of the gradients (stiffened), those with the difference, and the inverse of the
   determinant: (batch, MOMENTS, h, w). */
INLINE void moments(const float *terms, int batch, int h, int w, int window, float stiffness, float *out, int begin,
                    int end) {
  float *padded = malloc((size_t)(w + window + TERMS * w) * sizeof(float));
  float *mean = padded + w + window;
  for (int p = 0; p < batch; p++) {
    for (int y = begin; y < end; y++) {
      for (int t = 0; t < TERMS; t++)
        box_row(terms + ((size_t)p * TERMS + t) * h * w, y, h, w, window, padded, mean + (size_t)t * w);
      float *moment = out + ((size_t)p * MOMENTS * h + y) * w;
      size_t next = (size_t)h * w;
      INDEPENDENT
      for (int j = 0; j < w; j++) {
        float x = mean[5 * w + j], yy_mean = mean[6 * w + j], e = mean[7 * w + j];
        float share = 1 / most(mean[8 * w + j], 1e-3f);
        float xx = mean[j] - share * x * x + stiffness, xy = mean[w + j] - share * x * yy_mean;
        float yy = mean[2 * w + j] - share * yy_mean * yy_mean + stiffness;
        moment[j] = xx;
        moment[next + j] = xy;
        moment[2 * next + j] = yy;
        moment[3 * next + j] = mean[3 * w + j] - share * x * e;
        moment[4 * next + j] = mean[4 * w + j] - share * yy_mean * e;
        moment[5 * next + j] = 1 / (xx * yy - xy * xy);
      }
    }
  }
  free(padded);
}

/* One solution of the flow, drawn to the mean of the one before around each pixel. */
INLINE void sweep(const float *found, const float *flow, const float *moments_, int batch, int h, int w, int smoothing,
                  float stiffness, float *out, int begin, int end) {
  float *padded = malloc((size_t)(w + smoothing + 2 * w) * sizeof(float));
  float *mean_x = padded + w + smoothing, *mean_y = mean_x + w;
  size_t next = (size_t)h * w;
  for (int p = 0; p < batch; p++) {
    for (int y = begin; y < end; y++) {
      box_row(found + 2 * p * next, y, h, w, smoothing, padded, mean_x);
      box_row(found + (2 * p + 1) * next, y, h, w, smoothing, padded, mean_y);
      const float *m = moments_ + p * MOMENTS * next + (size_t)y * w;
      const float *fx = flow + 2 * p * next + (size_t)y * w, *fy = fx + next;
      float *ox = out + 2 * p * next + (size_t)y * w, *oy = ox + next;
      INDEPENDENT
      for (int x = 0; x < w; x++) {
        float xx = m[x], xy = m[next + x], yy = m[2 * next + x], inverse = m[5 * next + x];
        float rx = stiffness * (mean_x[x] - fx[x]) - m[3 * next + x];
        float ry = stiffness * (mean_y[x] - fy[x]) - m[4 * next + x];
        ox[x] = fx[x] + clamp((yy * rx - xy * ry) * inverse, -1.5f, 1.5f);
        oy[x] = fy[x] + clamp((xx * ry - xy * rx) * inverse, -1.5f, 1.5f);
      }
    }
  }
  free(padded);
}

/* Squared distance by which a flow and the flow back miss their start, in units of `consistent`, (h, w). */
INLINE void miss_start(const float *flow, const float *back, float consistent, int h, int w, float *out, int begin,
                       int end) {
  size_t next = (size_t)h * w;
  for (int y = begin; y < end; y++) {
    const float *fx = flow + (size_t)y * w, *fy = fx + next;
    float *to = out + (size_t)y * w;
    INDEPENDENT
    for (int x = 0; x < w; x++) {
      Spot spot = spot_at(fx[x] + (float)x, fy[x] + (float)y, h, w);
      float across = fx[x] + sample(back, spot, w), down = fy[x] + sample(back + next, spot, w);
      to[x] = (across * across + down * down) / (consistent * consistent);
    }
  }
}

/* Flow from a moment between two frames to the first of them, (2, h, w), and the trust in it, (h, w). */
INLINE void interpolate_flow(const float *there, const float *back, const float *miss_there, const float *miss_back,
                             float part, float consistent, float least_trust, int h, int w, float *flow, float *trust,
                             int begin, int end) {
  size_t next = (size_t)h * w;
  for (int y = begin; y < end; y++) {
    size_t row = (size_t)y * w;
    INDEPENDENT
    for (int x = 0; x < w; x++) {
      float across = there[row + x] + part * (-back[row + x] - there[row + x]);
      float down = there[next + row + x] + part * (-back[next + row + x] - there[next + row + x]);
      float here_x = 0, here_y = 0, sure = 0;
      for (int turn = 0; turn < 2; turn++) {
        Spot first = spot_at((float)x - part * across, (float)y - part * down, h, w);
        Spot other = spot_at((float)x + (1 - part) * across, (float)y + (1 - part) * down, h, w);
        here_x = sample(there, first, w), here_y = sample(there + next, first, w);
        float beyond_x = -sample(back, other, w), beyond_y = -sample(back + next, other, w);
        sure = 1 / (1 + sample(miss_there, first, w));
        float other_sure = 1 / (1 + sample(miss_back, other, w)), all = 1 / (sure + other_sure);
        across = (sure * here_x + other_sure * beyond_x) * all;
        down = (sure * here_y + other_sure * beyond_y) * all;
      }
      float off_x = here_x - across, off_y = here_y - down;
      flow[row + x] = -part * across;
      flow[next + row + x] = -part * down;
      trust[row + x] = most(sure / (1 + (off_x * off_x + off_y * off_y) / (consistent * consistent)), least_trust);
    }
  }
}

/* ----------------------------------------------------------- physical merge */

/* Where the pixels of a row are fetched from: the place left of and above each, and the weights of four columns and of
   four rows around it, between two rows of zeros. */
typedef struct {
  int *left, *top;
  float *across[6], *down[6];
} Places;

INLINE void cubic_weights(float part, float *first, float *second, float *third, float *fourth) {
  *first = part * (part * (1 - part * 0.5f) - 0.5f);
  *second = 1 + part * part * (1.5f * part - 2.5f);
  *third = part * (part * (2 - 1.5f * part) + 0.5f);
  *fourth = part * part * (part - 1) * 0.5f;
}

/* The places of row y, from its flow at full size in pixels of half size. */
INLINE void find_places(const float *fx, const float *fy, int y, int H, int W, Places p) {
  INDEPENDENT
  for (int x = 0; x < W; x++) {
    Spot spot = spot_at(2 * fx[x] + (float)x, 2 * fy[x] + (float)y, H, W);
    p.left[x] = spot.x0;
    p.top[x] = spot.y0;
    cubic_weights(spot.right, &p.across[1][x], &p.across[2][x], &p.across[3][x], &p.across[4][x]);
    cubic_weights(spot.down, &p.down[1][x], &p.down[2][x], &p.down[3][x], &p.down[4][x]);
  }
}

/* NaN stays. */
INLINE float in_range(float v) { return v < 0 ? 0 : v > 1 ? 1 : v; }

/* Pixels x to x + n - 1 of a row, each from wherever its place is; beyond the border the nearest pixel counts. */
INLINE void fetch_scattered(const float *plane, Places p, int x, int n, int H, int W, float *row) {
  const float *a = p.across[1], *b = p.across[2], *c = p.across[3], *d = p.across[4];
  for (int j = x; j < x + n; j++) row[j] = 0;
  for (int r = 0; r < 4; r++) {
    const float *down = p.down[r + 1];
    INDEPENDENT
    for (int j = x; j < x + n; j++) {
      int left = p.left[j], line = between(p.top[j] + r - 1, 0, H - 1) * W;
      float sum = a[j] * plane[line + between(left - 1, 0, W - 1)] + b[j] * plane[line + left];
      sum += c[j] * plane[line + between(left + 1, 0, W - 1)] + d[j] * plane[line + between(left + 2, 0, W - 1)];
      row[j] += down[j] * sum;
    }
  }
  INDEPENDENT
  for (int j = x; j < x + n; j++) row[j] = in_range(row[j]);
}

#define RUN 24
#define TAPS 5 /* four, and one more where the shift grows by a pixel within a run */

/* Four weights each of a run as five: those whose place is one beyond the first have them one further. */
INLINE void spread_weights(float *const *weights, const int *places, int x, int step, int first, float five[TAPS][RUN]) {
  for (int t = 0; t < TAPS; t++) {
    const float *further = weights[t] + x, *here = weights[t + 1] + x;
    INDEPENDENT
    for (int j = 0; j < RUN; j++) five[t][j] = places[x + j] - step * (x + j) > first ? further[j] : here[j];
  }
}

/* A run of pixels whose places lie in `rows` rows below each other and beside each other as they do themselves. */
INLINE void fetch_run(const float *corner, const float across[TAPS][RUN], const float down[TAPS][RUN], int rows, int W,
                      float *to) {
  float total[RUN] = {0};
  for (int r = 0; r < rows; r++) {
    const float *line = corner + (size_t)r * W;
    INDEPENDENT
    for (int j = 0; j < RUN; j++) {
      float sum = across[0][j] * line[j] + across[1][j] * line[j + 1] + across[2][j] * line[j + 2] +
                  across[3][j] * line[j + 3] + across[4][j] * line[j + 4];
      total[j] += down[r][j] * sum;
    }
  }
  INDEPENDENT
  for (int j = 0; j < RUN; j++) to[j] = in_range(total[j]);
}

/* Fetch row y of three planes. Flows are smooth: nearly everywhere a run of pixels moves alike, to a pixel. */
INLINE void fetch_row(const float *planes, Places p, int y, int H, int W, float *out) {
  size_t full = (size_t)H * W;
  float across[TAPS][RUN], down[TAPS][RUN];
  for (int x = 0; x < W; x += RUN) {
    int n = between(W - x, 0, RUN), low = W, high = -W, above = H, below = -H;
    for (int j = x; j < x + n; j++) {
      int shift = p.left[j] - j, top = p.top[j];
      low = low < shift ? low : shift;
      high = high > shift ? high : shift;
      above = above < top ? above : top;
      below = below > top ? below : top;
    }
    int column = x + low - 1, row = above - 1;
    int inside = column >= 0 && column + RUN + TAPS - 1 <= W && row >= 0 && row + TAPS <= H;
    if (n == RUN && inside && high - low <= 1 && below - above <= 1) {
      spread_weights(p.across, p.left, x, 1, low, across);
      spread_weights(p.down, p.top, x, 0, above, down);
      for (int c = 0; c < 3; c++) {
        const float *corner = planes + c * full + (size_t)row * W + column;
        fetch_run(corner, across, down, below > above ? TAPS : 4, W, out + c * full + (size_t)y * W + x);
      }
    } else {
      for (int c = 0; c < 3; c++) fetch_scattered(planes + c * full, p, x, n, H, W, out + c * full + (size_t)y * W);
    }
  }
}

/* Align three planes of full size along a flow of half size, and shut the trust (h, w) off outside of the frame. */
INLINE void align_frame(const float *linear, const float *flow, const float *trust, int H, int W, float *out,
                        float *trust_out, int begin, int end) {
  int h = (H + 1) / 2, w = (W + 1) / 2;
  float *mixed = malloc((size_t)(w + 2 + 26 * w) * sizeof(float));
  float *fx = mixed + w + 2, *fy = fx + 2 * w, *zeros = fy + 2 * w, *weights = zeros + 2 * w;
  Places places = {(int *)(weights + 16 * w), (int *)(weights + 18 * w), {zeros}, {zeros}};
  for (int t = 0; t < 4; t++) {
    places.across[t + 1] = weights + 2 * t * w;
    places.down[t + 1] = weights + 2 * (4 + t) * w;
  }
  places.across[5] = places.down[5] = zeros;
  memset(zeros, 0, 2 * w * sizeof(float));
  size_t half = (size_t)h * w;
  for (int i = begin; i < end; i++) {
    for (int y = 2 * i; y < 2 * i + 2 && y < H; y++) {
      double_row(flow, h, w, y, mixed, fx);
      double_row(flow + half, h, w, y, mixed, fy);
      find_places(fx, fy, y, H, W, places);
      fetch_row(linear, places, y, H, W, out);
    }
    const float *dx = flow + (size_t)i * w, *dy = dx + half, *sure = trust + (size_t)i * w;
    float *kept = trust_out + (size_t)i * w, right = 0.5f * (float)W - 0.5f, bottom = 0.5f * (float)H - 0.5f;
    INDEPENDENT
    for (int j = 0; j < w; j++) {
      float x = (float)j + dx[j], y = (float)i + dy[j];
      int inside = (x > -0.5f) & (x < right) & (y > -0.5f) & (y < bottom);
      kept[j] = inside ? sure[j] : 0;
    }
  }
  free(mixed);
}

/* What NoiseModel knows, prepared for a pixel; `kernels.py` fills it in this order. */
typedef struct {
  float inverse_black, inverse_saturated, ends, inverse_clip_width, gain, offset, crushed_variance, bound,
      clipped_variance;
} Noise;

INLINE float crushed(const Noise *noise, float value, float peak) {
  return clamp(2 - value * noise->inverse_black, 0, 1) * clamp(2 - peak * noise->inverse_saturated, 0, 1);
}

INLINE float unclipped(const Noise *noise, float value) {
  return clamp((noise->ends - value) * noise->inverse_clip_width, 0, 1);
}

/* Variance of a signal beyond its noise, as far as its code is a bound. */
INLINE float hidden(const Noise *noise, float shown) { return (1 - shown) * (1 - shown) * noise->clipped_variance; }

INLINE float variance(const Noise *noise, float value, float dark) {
  return value * noise->gain + noise->offset + dark * noise->crushed_variance;
}

/* Variances of the three channels of a row, times `scale`. */
INLINE void variance_rows(const Noise *noise, const float *r, const float *g, const float *b, int n, float scale,
                          float *out, int stride) {
  INDEPENDENT
  for (int x = 0; x < n; x++) {
    float peak = most(most(r[x], g[x]), b[x]);
    out[x] = variance(noise, r[x], crushed(noise, r[x], peak)) * scale;
    out[stride + x] = variance(noise, g[x], crushed(noise, g[x], peak)) * scale;
    out[2 * stride + x] = variance(noise, b[x], crushed(noise, b[x], peak)) * scale;
  }
}

#define NOISE_BLOCK 8

/* Squared second differences of a plane, (H, W), without its outermost pixels, against what nominal noise would leave
   of them, per block; NaN where the block is black or clipped somewhere. `darkest` is the least that is no black. */
INLINE void noise_of_blocks(const float *plane, const Noise *noise, float darkest, int H, int W, float *out, int begin,
                            int end) {
  int columns = (W - 2) / NOISE_BLOCK, inner = columns * NOISE_BLOCK;
  float *down = malloc((size_t)(inner + 2 + 4 * inner) * sizeof(float));
  float *squares = down + inner + 2, *sums = squares + inner, *lows = sums + inner, *highs = lows + inner;
  for (int i = begin; i < end; i++) {
    INDEPENDENT
    for (int x = 0; x < inner; x++) squares[x] = sums[x] = 0, lows[x] = INFINITY, highs[x] = -INFINITY;
    for (int y = NOISE_BLOCK * i + 1; y <= NOISE_BLOCK * (i + 1); y++) {
      const float *here = plane + (size_t)y * W, *above = here - W, *below = here + W;
      INDEPENDENT
      for (int x = 0; x < inner + 2; x++) down[x] = below[x] + above[x] - 2 * here[x];
      INDEPENDENT
      for (int x = 0; x < inner; x++) {
        float value = here[x + 1], second = down[x + 2] + down[x] - 2 * down[x + 1];
        squares[x] += second * second;
        sums[x] += value;
        lows[x] = value > lows[x] ? lows[x] : value; /* NaN stays */
        highs[x] = value < highs[x] ? highs[x] : value;
      }
    }
    for (int j = 0; j < columns; j++) {
      float square = 0, sum = 0, low = INFINITY, high = -INFINITY, count = NOISE_BLOCK * NOISE_BLOCK;
      for (int x = NOISE_BLOCK * j; x < NOISE_BLOCK * (j + 1); x++) {
        square += squares[x];
        sum += sums[x];
        low = lows[x] > low ? low : lows[x];
        high = highs[x] < high ? high : highs[x];
      }
      int usable = low > darkest && crushed(noise, low, low) == 0 && unclipped(noise, high) == 1;
      float mean = sum / count, nominal = variance(noise, mean, crushed(noise, mean, mean));
      out[(size_t)i * columns + j] = usable ? square / (36 * count * nominal) : NAN;
    }
  }
  free(down);
}

/* What a frame shows by itself: its picture linearised, (3, H, W); at half size the same, (3, h, w), and the shares of
   its codes that are clipped, and that are picture, (h, w) each. */
INLINE void measure_frame(const float *image, const Noise *noise, float gamma, int H, int W, float *linear,
                          float *small_linear, float *clipped, float *certainty, int begin, int end) {
  int h = (H + 1) / 2, w = (W + 1) / 2, n = 2 * w;
  float *codes = malloc((size_t)(9 * n + w) * sizeof(float));
  float *light = codes + n, *pair = light + 6 * n, *halved = pair + 2 * n;
  size_t full = (size_t)H * W, half = (size_t)h * w;
  for (int i = begin; i < end; i++) {
    size_t place = (size_t)i * w;
    for (int s = 0; s < 2; s++) {
      int y = between(2 * i + s, 0, H - 1);
      for (int c = 0; c < 3; c++) {
        float *lit = light + (3 * s + c) * n;
        const float *row = even_row(image + c * full, y, W, w, codes);
        INDEPENDENT
        for (int x = 0; x < n; x++) {
          float code = clamp(row[x], 0, 1);
          lit[x] = exponential(gamma * natural_log(most(code, 1e-12f))) * (code > 0 ? 1.0f : 0.0f);
        }
        if (2 * i + s < H) memcpy(linear + c * full + (size_t)y * W, lit, W * sizeof(float));
      }
    }
    INDEPENDENT
    for (int j = 0; j < w; j++) clipped[place + j] = certainty[place + j] = 0;
    for (int c = 0; c < 3; c++) {
      halve_rows(light + c * n, light + (3 + c) * n, w, small_linear + c * half + place);
      for (int s = 0; s < 2; s++) {
        const float *lit = light + (3 * s + c) * n;
        INDEPENDENT
        for (int x = 0; x < n; x++) pair[s * n + x] = 1 - unclipped(noise, lit[x]);
      }
      halve_rows(pair, pair + n, w, halved);
      INDEPENDENT
      for (int j = 0; j < w; j++) clipped[place + j] += halved[j] * (1 / 3.0f);
      for (int s = 0; s < 2; s++) {
        const float *r = light + 3 * s * n, *lit = light + (3 * s + c) * n;
        INDEPENDENT
        for (int x = 0; x < n; x++) {
          float peak = most(most(r[x], r[n + x]), r[2 * n + x]);
          pair[s * n + x] = most(1 - pair[s * n + x] - crushed(noise, lit[x], peak), 0);
        }
      }
      halve_rows(pair, pair + n, w, halved);
      INDEPENDENT
      for (int j = 0; j < w; j++) certainty[place + j] += halved[j] * (1 / 3.0f);
    }
  }
  free(codes);
}

/* Planes of half size that describe the reference: three each of radiance, variance, clipped, crushed and most, then
   one of the degree to which it is censored, and one each of clipped and crushed codes whatever the exposure. */
#define TEST_PLANES 18

INLINE void describe_reference(const float *linear, const Noise *noise, float exposure, int H, int W, float *out,
                               int begin, int end) {
  int h = (H + 1) / 2, w = (W + 1) / 2, full_row = 2 * w;
  float inverse = 1 / exposure;
  float *copies = malloc((size_t)(6 * full_row + 6 * full_row + 2 * full_row) * sizeof(float));
  float *values[2] = {copies + 6 * full_row, copies + 9 * full_row}, *pair[2] = {copies + 12 * full_row, NULL};
  pair[1] = pair[0] + full_row;
  size_t full = (size_t)H * W, half = (size_t)h * w;
  for (int i = begin; i < end; i++) {
    const float *rows[2][3];
    float *to = out + (size_t)i * w;
    for (int s = 0; s < 2; s++) {
      int y = between(2 * i + s, 0, H - 1);
      for (int c = 0; c < 3; c++)
        rows[s][c] = even_row(linear + c * full, y, W, w, copies + (3 * s + c) * full_row);
      variance_rows(noise, rows[s][0], rows[s][1], rows[s][2], full_row, inverse * inverse, values[s], full_row);
    }
    INDEPENDENT
    for (int j = 0; j < w; j++) to[15 * half + j] = to[16 * half + j] = to[17 * half + j] = 0;
    for (int c = 0; c < 3; c++) {
      halve_rows(rows[0][c], rows[1][c], w, to + c * half);
      INDEPENDENT
      for (int j = 0; j < w; j++) to[c * half + j] *= inverse;
      halve_rows(values[0] + c * full_row, values[1] + c * full_row, w, to + (3 + c) * half);
      for (int s = 0; s < 2; s++)
        INDEPENDENT
        for (int x = 0; x < full_row; x++) pair[s][x] = unclipped(noise, rows[s][c][x]);
      float *clipped = to + (6 + c) * half;
      halve_rows(pair[0], pair[1], w, clipped);
      INDEPENDENT
      for (int j = 0; j < w; j++) {
        float degree = 1 - clipped[j];
        to[16 * half + j] += degree * (1 / 3.0f);
        clipped[j] = exposure <= 1 ? 0 : degree;
      }
      for (int s = 0; s < 2; s++)
        INDEPENDENT
        for (int x = 0; x < full_row; x++) {
          float peak = most(most(rows[s][0][x], rows[s][1][x]), rows[s][2][x]);
          pair[s][x] = crushed(noise, rows[s][c][x], peak);
        }
      float *black = to + (9 + c) * half;
      halve_rows(pair[0], pair[1], w, black);
      INDEPENDENT
      for (int j = 0; j < w; j++) {
        to[17 * half + j] += black[j] * (1 / 3.0f);
        to[15 * half + j] += most(clipped[j], black[j]) * (1 / 3.0f);
      }
      for (int s = 0; s < 2; s++)
        INDEPENDENT
        for (int x = 0; x < full_row; x++) pair[s][x] = most(rows[s][c][x], noise->bound);
      halve_rows(pair[0], pair[1], w, to + (12 + c) * half);
      INDEPENDENT
      for (int j = 0; j < w; j++) to[(12 + c) * half + j] *= inverse;
    }
  }
  free(copies);
}

/* Radiance of each neighbor at half size, (count, 3, h, w), and the factor by which its squared difference from the
   reference exceeds the expected one at each place alone, (count, h, w). */
INLINE void compare_with_reference(const float *const *linears, const float *exposures, int count, const float *test,
                                   const Noise *noise, float tolerance, int H, int W, float *small, float *excess,
                                   int begin, int end) {
  int h = (H + 1) / 2, w = (W + 1) / 2, full_row = 2 * w;
  float *copies = malloc((size_t)(12 * full_row + w) * sizeof(float));
  float *values[2] = {copies + 6 * full_row, copies + 9 * full_row}, *spread = copies + 12 * full_row;
  size_t full = (size_t)H * W, half = (size_t)h * w;
  for (int k = 0; k < count; k++) {
    float inverse = 1 / exposures[k];
    for (int i = begin; i < end; i++) {
      const float *rows[2][3];
      for (int s = 0; s < 2; s++) {
        int y = between(2 * i + s, 0, H - 1);
        for (int c = 0; c < 3; c++)
          rows[s][c] = even_row(linears[k] + c * full, y, W, w, copies + (3 * s + c) * full_row);
        variance_rows(noise, rows[s][0], rows[s][1], rows[s][2], full_row, inverse * inverse, values[s], full_row);
      }
      float *factor = excess + (size_t)k * half + (size_t)i * w;
      INDEPENDENT
      for (int j = 0; j < w; j++) factor[j] = 0;
      for (int c = 0; c < 3; c++) {
        const float *at = test + c * half + (size_t)i * w;
        const float *own = at + 3 * half, *clipped = at + 6 * half, *black = at + 9 * half, *limit = at + 12 * half;
        float *radiance = small + ((size_t)k * 3 + c) * half + (size_t)i * w;
        halve_rows(rows[0][c], rows[1][c], w, radiance);
        halve_rows(values[0] + c * full_row, values[1] + c * full_row, w, spread);
        INDEPENDENT
        for (int j = 0; j < w; j++) {
          radiance[j] *= inverse;
          float difference = radiance[j] - at[j], below = least(difference, 0);
          float above = most(difference, 0) * (1 - clipped[j]);
          above += black[j] * (most(radiance[j] - limit[j], 0) - above);
          difference = below * (1 - black[j]) + above;
          float allowed = tolerance * at[j];
          float expected = (spread[j] + own[j]) * 0.25f + allowed * allowed;
          factor[j] += difference * difference / expected * (1 / 3.0f);
        }
      }
    }
  }
  free(copies);
}

/* Agreement of each neighbor with the reference, (count, h, w), and the variance that disagreement adds,
   (count, 3, h, w). */
INLINE void judge_agreement(const float *excess, const float *const *trusts, const float *small, const float *test,
                            int count, float tolerance, int h, int w, float *agreement, float *misfit, int begin,
                            int end) {
  float *padded = malloc((size_t)(w + 3 + 3 * w + 2) * sizeof(float));
  float *lenient = padded + w + 3, *strict = lenient + w, *column = strict + w + 1;
  size_t half = (size_t)h * w;
  const float *censored = test + 15 * half;
  for (int k = 0; k < count; k++) {
    const float *plane = excess + (size_t)k * half;
    for (int i = begin; i < end; i++) {
      box_row(plane, i, h, w, 3, padded, lenient);
      const float *a = plane + (size_t)between(i - 1, 0, h - 1) * w, *b = plane + (size_t)i * w;
      const float *c = plane + (size_t)between(i + 1, 0, h - 1) * w;
      INDEPENDENT
      for (int j = 0; j < w; j++) column[j] = most(most(a[j], b[j]), c[j]);
      column[-1] = column[0];
      column[w] = column[w - 1];
      INDEPENDENT
      for (int j = 0; j < w; j++) strict[j] = most(most(column[j - 1], column[j]), column[j + 1]) * 4;
      size_t row = (size_t)i * w;
      const float *sure = trusts[k] + row;
      float *agrees = agreement + (size_t)k * half + row;
      INDEPENDENT
      for (int j = 0; j < w; j++) {
        float factor = strict[j] + censored[row + j] * (lenient[j] - strict[j]), quarter = factor * 0.25f;
        agrees[j] = sure[j] / (1 + quarter * quarter);
        strict[j] = 0.7f * most(factor - 4, 0) * tolerance * tolerance;
      }
      for (int c3 = 0; c3 < 3; c3++) {
        const float *ours = test + c3 * half + row, *theirs = small + ((size_t)k * 3 + c3) * half + row;
        float *adds = misfit + ((size_t)k * 3 + c3) * half + row;
        INDEPENDENT
        for (int j = 0; j < w; j++) {
          float brighter = most(ours[j], theirs[j]);
          adds[j] = strict[j] * brighter * brighter;
        }
      }
    }
  }
  free(padded);
}

/* Average by inverse variance: radiance (3, H, W), and the deviations of it and of the reference, (3, h, w) each. */
INLINE void average(const float *reference, float exposure, const float *const *linears, const float *exposures,
                    const float *const *trusts, int count, const float *test, const float *small, const float *misfit,
                    const Noise *noise, int H, int W, float *radiance, float *deviation, float *reference_deviation,
                    int begin, int end) {
  int h = (H + 1) / 2, w = (W + 1) / 2, n = 2 * w;
  size_t full = (size_t)H * W, half = (size_t)h * w;
  float *buffers = malloc((size_t)(6 * n + 6 * n + 6 * n + 6 * n + 2 * n + w + 2 + 13 * w) * sizeof(float));
  float *copies = buffers, *total = copies + 6 * n, *weighted = total + 6 * n, *weight = weighted + 6 * n;
  float *sure = weight + 6 * n, *adds = sure + n, *mixed = adds + n, *weights = mixed + w + 2;
  float *first = weights + 3 * w, *second = first + 3 * w, *halved = second + 3 * w, *own = halved + w;
  float inverse = 1 / exposure;
  for (int i = begin; i < end; i++) {
    size_t place = (size_t)i * w;
    for (int s = 0; s < 2; s++) {
      const float *rows[3];
      for (int c = 0; c < 3; c++)
        rows[c] = even_row(reference + c * full, between(2 * i + s, 0, H - 1), W, w, copies + (3 * s + c) * n);
      variance_rows(noise, rows[0], rows[1], rows[2], n, inverse * inverse, weight + 3 * s * n, n);
      for (int c = 0; c < 3; c++) {
        float *sum = total + (3 * s + c) * n, *product = weighted + (3 * s + c) * n, *v = weight + (3 * s + c) * n;
        INDEPENDENT
        for (int x = 0; x < n; x++) {
          float shown = exposure <= 1 ? 1 : unclipped(noise, rows[c][x]);
          v[x] += hidden(noise, shown) * inverse * inverse;
          sum[x] = (shown + 1e-5f * inverse * inverse) / v[x];
          product[x] = sum[x] * rows[c][x] * inverse;
        }
      }
    }
    for (int c = 0; c < 3; c++) {
      halve_rows(total + c * n, total + (3 + c) * n, w, weights + c * w);
      halve_rows(weight + c * n, weight + (3 + c) * n, w, own + c * w);
      INDEPENDENT
      for (int j = 0; j < w; j++) first[c * w + j] = second[c * w + j] = 0;
    }
    for (int k = 0; k < count; k++) {
      float other = 1 / exposures[k];
      for (int s = 0; s < 2; s++) {
        int y = between(2 * i + s, 0, H - 1);
        const float *rows[3];
        for (int c = 0; c < 3; c++) rows[c] = even_row(linears[k] + c * full, y, W, w, copies + c * n);
        variance_rows(noise, rows[0], rows[1], rows[2], n, other * other, weight + 3 * s * n, n);
        double_row(trusts[k], h, w, y, mixed, sure);
        for (int c = 0; c < 3; c++) {
          double_row(misfit + ((size_t)k * 3 + c) * half, h, w, y, mixed, adds);
          float *sum = total + (3 * s + c) * n, *product = weighted + (3 * s + c) * n, *v = weight + (3 * s + c) * n;
          INDEPENDENT
          for (int x = 0; x < n; x++) {
            float shown = exposures[k] <= 1 ? 1 : unclipped(noise, rows[c][x]);
            v[x] = shown * sure[x] / (v[x] + adds[x] + hidden(noise, shown) * other * other);
            sum[x] += v[x];
            product[x] += v[x] * rows[c][x] * other;
          }
          if (W < n) v[W] = v[W - 1];
        }
      }
      for (int c = 0; c < 3; c++) {
        const float *ours = test + c * half + place, *theirs = small + ((size_t)k * 3 + c) * half + place;
        halve_rows(weight + c * n, weight + (3 + c) * n, w, halved);
        INDEPENDENT
        for (int j = 0; j < w; j++) {
          float difference = theirs[j] - ours[j];
          weights[c * w + j] += halved[j];
          first[c * w + j] += halved[j] * difference;
          second[c * w + j] += halved[j] * difference * difference;
        }
      }
    }
    for (int c = 0; c < 3; c++) {
      for (int s = 0; s < 2 && 2 * i + s < H; s++) {
        int y = 2 * i + s;
        const float *row = reference + c * full + (size_t)y * W;
        const float *sum = total + (3 * s + c) * n, *product = weighted + (3 * s + c) * n;
        float *to = radiance + c * full + (size_t)y * W;
        INDEPENDENT
        for (int x = 0; x < W; x++) {
          float floor_ = exposure <= 1 ? 0 : (1 - unclipped(noise, row[x])) * inverse;
          to[x] = clamp(most(product[x] / sum[x], floor_), 0, 1);
        }
      }
      const float *clipped = test + (6 + c) * half + place, *black = test + (9 + c) * half + place;
      float *by_all = deviation + c * half + place, *by_one = reference_deviation + c * half + place;
      INDEPENDENT
      for (int j = 0; j < w; j++) {
        float sum = weights[c * w + j], mean = first[c * w + j] / sum;
        float spread = second[c * w + j] / sum - mean * mean;
        by_all[j] = sqrtf(1 / sum + most(spread, 0));
        by_one[j] = sqrtf(own[c * w + j]) / most(1 - most(clipped[j], black[j]), 1e-3f);
      }
    }
  }
  free(buffers);
}

/* --------------------------------------------------------------- correction */

#define BLOCK 16 /* pixels whose channels fit the nearest cache */

/* Turn 4 rows of 4 values into columns; both lie in steps of so many values. */
INLINE void turn(const float *from, size_t from_step, float *to, size_t to_step) {
#if defined(__GNUC__)
  typedef float Four __attribute__((vector_size(16)));
  Four a, b, c, d;
  memcpy(&a, from, 16);
  memcpy(&b, from + from_step, 16);
  memcpy(&c, from + 2 * from_step, 16);
  memcpy(&d, from + 3 * from_step, 16);
  Four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  Four ab_right = __builtin_shufflevector(a, b, 2, 6, 3, 7), cd_right = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  a = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
  b = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
  c = __builtin_shufflevector(ab_right, cd_right, 0, 1, 4, 5);
  d = __builtin_shufflevector(ab_right, cd_right, 2, 3, 6, 7);
  memcpy(to, &a, 16);
  memcpy(to + to_step, &b, 16);
  memcpy(to + 2 * to_step, &c, 16);
  memcpy(to + 3 * to_step, &d, 16);
#else
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 4; j++) to[j * to_step + i] = from[i * from_step + j];
#endif
}

/* Turn the rows of a matrix into columns, a block at a time; rows of both lie in steps of so many values. */
INLINE void transpose(const float *from, size_t from_step, int rows, int columns, float *to, size_t to_step) {
  for (int first = 0; first < columns; first += BLOCK) {
    int last = first + BLOCK < columns ? first + BLOCK : columns;
    for (int i = 0; i < rows; i += 4)
      for (int j = first; j < last; j += 4) {
        if (i + 4 <= rows && j + 4 <= last) {
          turn(from + i * from_step + j, from_step, to + j * to_step + i, to_step);
        } else {
          for (int r = i; r < i + 4 && r < rows; r++)
            for (int c = j; c < j + 4 && c < last; c++) to[c * to_step + r] = from[r * from_step + c];
        }
      }
  }
}

/* Stack pictures of full size at half size, four channels for each of theirs, rows of gw pixels, repeated beyond the
   border: the start, mu-law; the reference as it is encoded; the frames, mu-law; then `extra` planes that are of half
   size already, (extra, h, w). The start is written at full size as well, `compressed`. */
INLINE void stack_guide(const float *start, const float *image, const float *const *linears, const float *exposures,
                        int count, const float *evidence, int extra, int H, int W, int gw, float *compressed,
                        float *guide, int begin, int end) {
  int h = (H + 1) / 2, w = (W + 1) / 2, pictures = 12 * (2 + count), channels = pictures + extra;
  size_t full = (size_t)H * W;
  float *row = malloc((size_t)(2 + channels) * gw * sizeof(float)), *stacked = row + 2 * gw;
  for (int i = begin; i < end; i++) {
    for (int f = 0; f < 2 + count; f++) {
      const float *picture = f == 0 ? start : f == 1 ? image : linears[f - 2];
      float inverse = f < 2 ? 1 : 1 / exposures[f - 2];
      for (int part = 0; part < 6; part++) {
        int c = part / 2, below = part % 2, y = 2 * i + below;
        const float *source = picture + c * full + (size_t)between(y, 0, H - 1) * W;
        if (f == 1) {
          memcpy(row, source, W * sizeof(float));
        } else {
          INDEPENDENT
          for (int x = 0; x < W; x++) row[x] = mu_law(source[x] * inverse);
        }
        for (int x = W; x < 2 * gw; x++) row[x] = row[W - 1];
        if (f == 0 && y < H) memcpy(compressed + c * full + (size_t)y * W, row, W * sizeof(float));
        float *left = stacked + (size_t)((3 * f + c) * 4 + 2 * below) * gw, *right = left + gw;
        INDEPENDENT
        for (int j = 0; j < gw; j++) left[j] = row[2 * j], right[j] = row[2 * j + 1];
      }
    }
    for (int e = 0; e < extra; e++) {
      const float *source = evidence + ((size_t)e * h + between(i, 0, h - 1)) * w;
      float *to = stacked + (size_t)(pictures + e) * gw;
      memcpy(to, source, w * sizeof(float));
      for (int j = w; j < gw; j++) to[j] = source[w - 1];
    }
    transpose(stacked, gw, channels, gw, guide + (size_t)i * gw * channels, channels);
  }
  free(row);
}

/* Trust in a frame as far as it shows picture and not noise, (h, w), from its radiance at half size, averaged around
   each place, and that of the start. */
INLINE void trust_in_frame(const float *around, const float *start, const Noise *noise, float exposure, float trusted,
                           int h, int w, float *out, int begin, int end) {
  size_t half = (size_t)h * w;
  float inverse = 1 / (exposure * exposure);
  for (int i = begin; i < end; i++) {
    size_t place = (size_t)i * w;
    INDEPENDENT
    for (int j = 0; j < w; j++) {
      float brighter[3], signal[3], total = 0;
      for (int c = 0; c < 3; c++) {
        brighter[c] = most(start[c * half + place + j], around[c * half + place + j]);
        signal[c] = least(brighter[c] * exposure, 1);
      }
      float peak = most(most(signal[0], signal[1]), signal[2]);
      for (int c = 0; c < 3; c++) {
        float slope = mu_law_slope(brighter[c]);
        total += variance(noise, signal[c], crushed(noise, signal[c], peak)) * inverse * slope * slope;
      }
      out[place + j] = trusted * trusted / (trusted * trusted + total * (1 / 3.0f));
    }
  }
}

/* One row of full size from the two channels that hold its even and odd places, n values each. */
INLINE void interleave(const float *channels, int n, float *row) {
  INDEPENDENT
  for (int j = 0; j < n; j++) row[2 * j] = channels[j], row[2 * j + 1] = channels[n + j];
}

/* Apply a predicted correction and gates, rows of gw pixels of 4 (5 + count) channels, to the start, within `bound`,
   (3, h, w); the guide, likewise with `channels` of them, holds the start and the frames. */
INLINE void apply_correction(const float *guide, int channels, const float *prediction, const float *blur3,
                             const float *blur5, const float *const *trusts, const float *bound, int count, int H, int W,
                             int gw, float *out, int begin, int end) {
  int h = (H + 1) / 2, w = (W + 1) / 2, n = 2 * gw, seen = 12 * (2 + count), asked = 4 * (5 + count);
  size_t full = (size_t)H * W, half = (size_t)h * w;
  float *buffers = malloc(((size_t)(seen + asked) * gw + 11 * n + w + 2) * sizeof(float));
  float *guides = buffers, *answers = guides + (size_t)seen * gw, *start = answers + (size_t)asked * gw;
  float *change = start + 3 * n, *gate = change + 3 * n, *sure = gate + n, *view = sure + n;
  float *second_gate = view + n, *limit = second_gate + n, *mixed = limit + n;
  for (int i = begin; i < end; i++) {
    transpose(guide + (size_t)i * gw * channels, channels, gw, seen, guides, gw);
    transpose(prediction + (size_t)i * gw * asked, asked, gw, asked, answers, gw);
    for (int y = 2 * i; y < 2 * i + 2 && y < H; y++) {
      size_t at = (size_t)y * W;
      const float *shown = guides + (size_t)(2 * (y % 2)) * gw, *said = answers + (size_t)(2 * (y % 2)) * gw;
      interleave(said + (size_t)12 * gw, gw, gate);
      interleave(said + (size_t)16 * gw, gw, second_gate);
      for (int c = 0; c < 3; c++) {
        float *from = start + c * n, *to = change + c * n;
        const float *less = blur3 + c * full + at, *more = blur5 + c * full + at;
        interleave(shown + (size_t)(4 * c) * gw, gw, from);
        interleave(said + (size_t)(4 * c) * gw, gw, to);
        INDEPENDENT
        for (int x = 0; x < W; x++) to[x] += gate[x] * (less[x] - from[x]) + second_gate[x] * (more[x] - from[x]);
      }
      for (int k = 0; k < count; k++) {
        interleave(said + (size_t)(20 + 4 * k) * gw, gw, gate);
        double_row(trusts[k], h, w, y, mixed, sure);
        INDEPENDENT
        for (int x = 0; x < W; x++) gate[x] *= sure[x];
        for (int c = 0; c < 3; c++) {
          float *from = start + c * n, *to = change + c * n;
          interleave(shown + (size_t)(24 + 12 * k + 4 * c) * gw, gw, view);
          INDEPENDENT
          for (int x = 0; x < W; x++) to[x] += gate[x] * (view[x] - from[x]);
        }
      }
      for (int c = 0; c < 3; c++) {
        const float *from = start + c * n, *by = change + c * n;
        float *to = out + c * full + at;
        double_row(bound + c * half, h, w, y, mixed, limit);
        INDEPENDENT
        for (int x = 0; x < W; x++) {
          /* tanh(z) = 1 - 2 / (exp(2 z) + 1) */
          float bounded = 1 - 2 / (exponential(2 * by[x] / limit[x]) + 1);
          to[x] = mu_law_inverse(clamp(from[x] + limit[x] * bounded, 0, 1));
        }
      }
    }
  }
  free(buffers);
}

/* -------------------------------------------------------------------- calls */

/* An argument of a kernel, in the order in which its rows are computed from it. */
typedef union {
  const float *in, *const *many;
  const Noise *noise;
  float *out, number;
  int count;
} Argument;

typedef void (*Kernel)(const Argument *arguments, int begin, int end);
/* GOMP_parallel of the OpenMP library that torch has loaded: its threads are awake when a kernel needs them. */
typedef void (*Parallel)(void (*work)(void *), void *data, unsigned threads, unsigned flags);

/* One build serves all processors of its kind: kernels are there for vectors of 512, of 256 and of any bits. Where
   shifted rows are summed, or pixels fetched from anywhere, 512 are slower than 256. */
#define ROWS(name) static void name(const Argument *a, int begin, int end)
#if defined(__x86_64__) && defined(__GNUC__)
#define FOR_512 __attribute__((target("avx512f,avx512dq,avx2,fma")))
#define FOR_256 __attribute__((target("avx2,fma")))
EXPORT int vector_bits(void) {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 128;
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") ? 512 : 256;
}
#define CALL(name, ...) \
  FOR_512 ROWS(name##_512) { name(__VA_ARGS__, begin, end); } \
  CALL_OF(name, name##_512, __VA_ARGS__)
#define CALL_256(name, ...) CALL_OF(name, name##_256, __VA_ARGS__)
#define CALL_OF(name, widest, ...) \
  FOR_256 ROWS(name##_256) { name(__VA_ARGS__, begin, end); } \
  ROWS(name##_any) { name(__VA_ARGS__, begin, end); } \
  EXPORT void name##_rows(const Argument *a, int begin, int end) { \
    int bits = vector_bits(); \
    (bits == 512 ? widest : bits == 256 ? name##_256 : name##_any)(a, begin, end); \
  }
#else
EXPORT int vector_bits(void) { return 0; }
#define CALL(name, ...) \
  EXPORT void name##_rows(const Argument *a, int begin, int end) { name(__VA_ARGS__, begin, end); }
#define CALL_256 CALL
#endif

CALL_256(box, a[0].in, a[1].count, a[2].count, a[3].count, a[4].count, a[5].out)
CALL_256(warp_planes, a[0].in, a[1].in, a[2].count, a[3].count, a[4].count, a[5].count, a[6].out)
CALL_256(compare_blocks, a[0].in, a[1].in, a[2].in, a[3].in, a[4].count, a[5].count, a[6].count, a[7].count,
         a[8].count, a[9].number, a[10].out)
CALL_256(warp_by_half, a[0].in, a[1].in, a[2].count, a[3].count, a[4].count, a[5].count, a[6].out)
CALL_256(compare_finely, a[0].in, a[1].in, a[2].in, a[3].in, a[4].count, a[5].count, a[6].count, a[7].count,
         a[8].number, a[9].out)
CALL_256(propagate, a[0].in, a[1].in, a[2].in, a[3].in, a[4].count, a[5].count, a[6].count, a[7].count, a[8].count,
         a[9].count, a[10].out)
CALL_256(fine_terms, a[0].in, a[1].in, a[2].in, a[3].count, a[4].count, a[5].count, a[6].number, a[7].out)
CALL_256(gradient_terms, a[0].in, a[1].in, a[2].in, a[3].count, a[4].count, a[5].count, a[6].number, a[7].out)
CALL_256(moments, a[0].in, a[1].count, a[2].count, a[3].count, a[4].count, a[5].number, a[6].out)
CALL_256(sweep, a[0].in, a[1].in, a[2].in, a[3].count, a[4].count, a[5].count, a[6].count, a[7].number, a[8].out)
CALL_256(miss_start, a[0].in, a[1].in, a[2].number, a[3].count, a[4].count, a[5].out)
CALL_256(interpolate_flow, a[0].in, a[1].in, a[2].in, a[3].in, a[4].number, a[5].number, a[6].number, a[7].count,
         a[8].count, a[9].out, a[10].out)
CALL_256(align_frame, a[0].in, a[1].in, a[2].in, a[3].count, a[4].count, a[5].out, a[6].out)
CALL(measure_frame, a[0].in, a[1].noise, a[2].number, a[3].count, a[4].count, a[5].out, a[6].out, a[7].out, a[8].out)
CALL(match_lumas, a[0].in, a[1].in, a[2].in, a[3].number, a[4].count, a[5].count, a[6].count, a[7].out)
CALL(noise_of_blocks, a[0].in, a[1].noise, a[2].number, a[3].count, a[4].count, a[5].out)
CALL(describe_reference, a[0].in, a[1].noise, a[2].number, a[3].count, a[4].count, a[5].out)
CALL(compare_with_reference, a[0].many, a[1].in, a[2].count, a[3].in, a[4].noise, a[5].number, a[6].count, a[7].count,
     a[8].out, a[9].out)
CALL(judge_agreement, a[0].in, a[1].many, a[2].in, a[3].in, a[4].count, a[5].number, a[6].count, a[7].count, a[8].out,
     a[9].out)
CALL(average, a[0].in, a[1].number, a[2].many, a[3].in, a[4].many, a[5].count, a[6].in, a[7].in, a[8].in, a[9].noise,
     a[10].count, a[11].count, a[12].out, a[13].out, a[14].out)
CALL(stack_guide, a[0].in, a[1].in, a[2].many, a[3].in, a[4].count, a[5].in, a[6].count, a[7].count, a[8].count,
     a[9].count, a[10].out, a[11].out)
CALL(trust_in_frame, a[0].in, a[1].in, a[2].noise, a[3].number, a[4].number, a[5].count, a[6].count, a[7].out)
CALL(apply_correction, a[0].in, a[1].count, a[2].in, a[3].in, a[4].in, a[5].many, a[6].in, a[7].count, a[8].count,
     a[9].count, a[10].count, a[11].out)

#if defined(__GNUC__)
typedef struct {
  Kernel kernel;
  const Argument *arguments;
  int rows, bands, next;
} Work;

/* Compute bands of rows until none is left. */
static void take_bands(void *data) {
  Work *work = data;
  for (;;) {
    int band = __atomic_fetch_add(&work->next, 1, __ATOMIC_RELAXED);
    if (band >= work->bands) return;
    work->kernel(work->arguments, work->rows * band / work->bands, work->rows * (band + 1) / work->bands);
  }
}

/* Compute all rows by so many threads, which take a band of them at a time. */
EXPORT void share(Parallel parallel, int threads, Kernel kernel, const Argument *arguments, int rows, int bands) {
  Work work = {kernel, arguments, rows, bands, 0};
  parallel(take_bands, &work, (unsigned)threads, 0);
}
#endif
