// The CUDA module of forward passes without CUDA: the processor's kernels behind the same table.
// With QUANTIZED_FORWARD_CUDA_MODULE naming it, everything above the module can be tested without a
// device. Attention and activations are the plain forms, which round otherwise than those that the
// processor's walk uses, as a device does.
// QUANTIZED_FAKE_FORWARD_MEMORY: bytes of its device (1 GB); QUANTIZED_FAKE_FORWARD_PRODUCTS: so
// many calls of matmul_nt succeed from when it is set; QUANTIZED_FAKE_FORWARD_WRONG: "attention",
// "products" or "gram" come out 1 % too large.
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>
#include <vector>

#include "kernels/attention/attention.h"
#include "kernels/blas/blas.h"
#include "kernels/forward_cuda/forward_api.h"
#include "kernels/gated_activation/gated_activation.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/rotary/rotary.h"
#include "kernels/types/half.h"
#include "tests/support/fake_cuda_device.h"

namespace quantized::kernels {

// What a thread does with it is done when the call returns.
struct ForwardSession {
  std::map<void*, uint64_t> allocated;
};

namespace {

// What comes out of `what` times this.
float Wrongness(const char* what) {
  const char* wrong = std::getenv("QUANTIZED_FAKE_FORWARD_WRONG");
  return wrong != nullptr && std::strcmp(wrong, what) == 0 ? 1.01f : 1.0f;
}

FakeMemory memory_of_devices("QUANTIZED_FAKE_FORWARD_MEMORY");
std::atomic<uint64_t> products{0};

int Describe(int device, CudaDeviceInfo* info) { return memory_of_devices.Describe(device, info); }

int OpenSession(int device, ForwardSession** session) {
  *session = nullptr;
  if (const int code = FindFakeDevice(device); code != kCudaOk) return code;
  *session = new ForwardSession();
  return kCudaOk;
}

void CloseSession(ForwardSession* session) { delete session; }

// Holds NaNs, so that what is read before it is written shows.
int Allocate(ForwardSession* session, uint64_t bytes, void** memory) {
  *memory = nullptr;
  if (!memory_of_devices.Take(bytes)) {
    return Fail(kCudaOutOfMemory, "allocating device memory: out of memory");
  }
  *memory = std::malloc(bytes);
  std::memset(*memory, 0xff, bytes);
  session->allocated[*memory] = bytes;
  return kCudaOk;
}

void Release(ForwardSession* session, void* memory) {
  if (memory == nullptr) return;
  const auto found = session->allocated.find(memory);
  memory_of_devices.Give(found->second);
  session->allocated.erase(found);
  std::free(memory);
}

int Copy(ForwardSession* /*session*/, void* to, const void* from, uint64_t bytes) {
  std::memcpy(to, from, bytes);
  return kCudaOk;
}

int Zero(ForwardSession* /*session*/, void* memory, uint64_t bytes) {
  std::memset(memory, 0, bytes);
  return kCudaOk;
}

int Wait(ForwardSession* /*session*/) { return kCudaOk; }

int FillRows(ForwardSession* /*session*/, uint64_t rows, uint64_t cols, const float* row, float* x,
             uint64_t stride) {
  for (uint64_t r = 0; r < rows; ++r) std::memcpy(x + r * stride, row, cols * sizeof(float));
  return kCudaOk;
}

int Multiply(const ForwardProduct& p, const float* a, const float* b) {
  MatMul(p.m, p.n, p.k, a, p.lda, b, p.ldb, p.c, p.ldc,
         {.transpose_b = true, .alpha = p.alpha * Wrongness("products"), .beta = p.beta});
  return kCudaOk;
}

int MatMulNt(ForwardSession* /*session*/, const ForwardProduct* product) {
  const uint64_t most = Setting("QUANTIZED_FAKE_FORWARD_PRODUCTS", UINT64_MAX);
  if (most == UINT64_MAX) {
    products = 0;
  } else if (products++ >= most) {
    return Fail(kCudaFailed, "multiplying: unspecified launch failure");
  }
  return Multiply(*product, static_cast<const float*>(product->a),
                  static_cast<const float*>(product->b));
}

std::vector<float> Widened(const void* values, uint64_t rows, uint64_t cols, uint64_t stride) {
  const auto* halves = static_cast<const uint16_t*>(values);
  std::vector<float> wide(rows * stride);
  for (uint64_t r = 0; r < rows; ++r) {
    for (uint64_t c = 0; c < cols; ++c) wide[r * stride + c] = BF16ToF32(halves[r * stride + c]);
  }
  return wide;
}

int MatMulNtBf16(ForwardSession* /*session*/, const ForwardProduct* p) {
  return Multiply(*p, Widened(p->a, p->m, p->k, p->lda).data(),
                  Widened(p->b, p->n, p->k, p->ldb).data());
}

int AddGramOfRows(ForwardSession* /*session*/, uint64_t rows, uint64_t n, const float* x,
                  uint64_t ldx, float* gram, uint64_t ldg) {
  if (rows > 0) AddGram(rows, n, x, ldx, gram, ldg);
  for (uint64_t i = 0; i < n * n; ++i) gram[i / n * ldg + i % n] *= Wrongness("gram");
  return kCudaOk;
}

int AddColumnSums(ForwardSession* /*session*/, uint64_t rows, uint64_t cols, const float* x,
                  uint64_t ldx, double* squares, double* magnitudes) {
  for (uint64_t r = 0; r < rows; ++r) {
    for (uint64_t c = 0; c < cols; ++c) {
      const double value = x[r * ldx + c];
      if (squares != nullptr) squares[c] += value * value;
      if (magnitudes != nullptr) magnitudes[c] += std::fabs(value);
    }
  }
  return kCudaOk;
}

int ToBf16(ForwardSession* /*session*/, uint64_t count, const float* x, uint16_t* out) {
  for (uint64_t i = 0; i < count; ++i) out[i] = F32ToBF16(x[i]);
  return kCudaOk;
}

int RmsNorm(ForwardSession* /*session*/, uint64_t rows, uint64_t cols, const float* x,
            const float* weight, float epsilon, float* out) {
  RmsNormRef(rows, cols, x, weight, epsilon, out);
  return kCudaOk;
}

int Rotary(ForwardSession* /*session*/, uint64_t tokens, uint64_t heads, uint64_t head_dim,
           uint64_t rotary_dim, const float* cos, const float* sin, float* x, uint64_t stride) {
  ApplyRotaryRef(tokens, heads, head_dim, rotary_dim, cos, sin, x, stride);
  return kCudaOk;
}

int Gate(ForwardSession* /*session*/, int activation, uint64_t count, const float* gate,
         const float* up, float* out) {
  GatedActivationRef(static_cast<Activation>(activation), count, gate, up, out);
  return kCudaOk;
}

int Attend(ForwardSession* /*session*/, const AttentionShape* shape, const float* q,
           uint64_t q_stride, const float* k, const float* v, uint64_t kv_stride, float* out,
           uint64_t out_stride) {
  if (shape->head_dim > 512) return Fail(kCudaFailed, "starting attention: invalid argument");
  AttentionRef(*shape, q, q_stride, k, v, kv_stride, out, out_stride);
  const uint64_t cols = shape->heads * shape->head_dim;
  for (uint64_t i = 0; i < shape->tokens * cols; ++i) {
    out[i / cols * out_stride + i % cols] *= Wrongness("attention");
  }
  return kCudaOk;
}

constexpr ForwardCudaApi kApi = {.version = kForwardCudaApiVersion,
                                 .count_devices = CountFakeDevices,
                                 .describe = Describe,
                                 .open_session = OpenSession,
                                 .close_session = CloseSession,
                                 .allocate = Allocate,
                                 .release = Release,
                                 .upload = Copy,
                                 .download = Copy,
                                 .copy = Copy,
                                 .zero = Zero,
                                 .wait = Wait,
                                 .fill_rows = FillRows,
                                 .matmul_nt = MatMulNt,
                                 .matmul_nt_bf16 = MatMulNtBf16,
                                 .add_gram = AddGramOfRows,
                                 .add_column_sums = AddColumnSums,
                                 .to_bf16 = ToBf16,
                                 .rms_norm = RmsNorm,
                                 .rotary = Rotary,
                                 .gated_activation = Gate,
                                 .attention = Attend,
                                 .last_error = LastFakeError};

}  // namespace
}  // namespace quantized::kernels

extern "C" const quantized::kernels::ForwardCudaApi* quantized_forward_cuda_api() {
  return &quantized::kernels::kApi;
}
