// The module behind kernels/forward_cuda/forward_api.h.
#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <climits>
#include <cstdint>
#include <new>

#include "kernels/attention/attention.h"
#include "kernels/cuda/cuda_error.h"
#include "kernels/cuda/describe_device.h"
#include "kernels/forward_cuda/forward_api.h"
#include "kernels/gated_activation/gated_activation.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/rotary/rotary.h"
#include "kernels/types/half.h"

namespace quantized::kernels {

struct ForwardSession {
  ~ForwardSession() {
    if (stream != nullptr) cudaStreamSynchronize(stream);
    if (blas != nullptr) cublasDestroy(blas);
    if (stream != nullptr) cudaStreamDestroy(stream);
    cudaGetLastError();
  }

  int device = 0;
  cudaStream_t stream = nullptr;
  cublasHandle_t blas = nullptr;
};

namespace {

int CheckBlas(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return kCudaOk;
  const CudaCode code = status == CUBLAS_STATUS_ALLOC_FAILED    ? kCudaOutOfMemory
                        : status == CUBLAS_STATUS_ARCH_MISMATCH ? kCudaUnsupported
                                                                : kCudaFailed;
  return Fail(code, what, cublasGetStatusString(status));
}

int CheckLaunch(int error, const char* what) {
  return Check(static_cast<cudaError_t>(error), what);
}

int CountDevices(int* count) {
  *count = 0;
  RETURN_IF_FAILED(cudaGetDeviceCount(count), "looking for a device");
  return *count > 0 ? kCudaOk : Fail(kCudaNoDevice, "looking for a device", "there is none");
}

int Use(const ForwardSession* session) {
  return Check(cudaSetDevice(session->device), "opening the device");
}

int Open(ForwardSession& session, int device) {
  session.device = device;
  if (const int code = Use(&session); code != kCudaOk) return code;
  RETURN_IF_FAILED(cudaStreamCreateWithFlags(&session.stream, cudaStreamNonBlocking),
                   "making a stream");
  int code = CheckBlas(cublasCreate(&session.blas), "opening cuBLAS");
  // One stream for each handle: cuBLAS then gives the same bits from run to run.
  if (code == kCudaOk) {
    code = CheckBlas(cublasSetStream(session.blas, session.stream), "opening cuBLAS");
  }
  // f32 products stay f32 and are not summed in parts by atomic additions.
  if (code == kCudaOk) {
    code = CheckBlas(cublasSetMathMode(session.blas, CUBLAS_DEFAULT_MATH), "opening cuBLAS");
  }
  if (code == kCudaOk) {
    code =
        CheckBlas(cublasSetAtomicsMode(session.blas, CUBLAS_ATOMICS_NOT_ALLOWED), "opening cuBLAS");
  }
  return code;
}

int OpenSession(int device, ForwardSession** opened) {
  *opened = nullptr;
  auto* session = new (std::nothrow) ForwardSession();
  if (session == nullptr) return Fail(kCudaOutOfHostMemory, "opening a session", "out of memory");
  const int code = Open(*session, device);
  if (code == kCudaOk) {
    *opened = session;
  } else {
    delete session;
  }
  return code;
}

void CloseSession(ForwardSession* session) {
  if (session == nullptr) return;
  cudaSetDevice(session->device);
  delete session;
}

// ---- Memory

int Allocate(ForwardSession* session, uint64_t bytes, void** memory) {
  *memory = nullptr;
  if (const int code = Use(session); code != kCudaOk) return code;
  return Check(cudaMalloc(memory, bytes), "allocating device memory");
}

void Release(ForwardSession* session, void* memory) {
  if (memory == nullptr) return;
  cudaSetDevice(session->device);
  cudaFree(memory);  // waits for the device
  cudaGetLastError();
}

int Copy(ForwardSession* session, void* to, const void* from, uint64_t bytes, cudaMemcpyKind kind,
         const char* what) {
  if (const int code = Use(session); code != kCudaOk) return code;
  return Check(cudaMemcpyAsync(to, from, bytes, kind, session->stream), what);
}

int Wait(ForwardSession* session) {
  if (const int code = Use(session); code != kCudaOk) return code;
  return Check(cudaStreamSynchronize(session->stream), "waiting for the device");
}

// Waits: where a device reads pageable memory of the host itself, nothing is copied away before.
int Upload(ForwardSession* session, void* to, const void* from_host, uint64_t bytes) {
  const int code =
      Copy(session, to, from_host, bytes, cudaMemcpyHostToDevice, "copying to the device");
  return code == kCudaOk ? Wait(session) : code;
}

int Download(ForwardSession* session, void* to_host, const void* from, uint64_t bytes) {
  const int code =
      Copy(session, to_host, from, bytes, cudaMemcpyDeviceToHost, "copying from the device");
  return code == kCudaOk ? Wait(session) : code;
}

int CopyOnDevice(ForwardSession* session, void* to, const void* from, uint64_t bytes) {
  return Copy(session, to, from, bytes, cudaMemcpyDeviceToDevice, "copying on the device");
}

int Zero(ForwardSession* session, void* memory, uint64_t bytes) {
  if (const int code = Use(session); code != kCudaOk) return code;
  return Check(cudaMemsetAsync(memory, 0, bytes, session->stream), "clearing device memory");
}

// ---- Products

// cuBLAS reads matrices by columns: what is row-major here is its transpose there, so
// c = a · bᵀ is cᵀ = (bᵀ)ᵀ · aᵀ in its eyes.
int Product(ForwardSession* session, const ForwardProduct& p, cudaDataType type) {
  for (const uint64_t size : {p.m, p.n, p.k, p.lda, p.ldb, p.ldc}) {
    if (size > INT_MAX) return Fail(kCudaFailed, "multiplying", "a matrix is too large for cuBLAS");
  }
  if (p.m == 0 || p.n == 0) return kCudaOk;
  if (const int code = Use(session); code != kCudaOk) return code;
  const auto number = [](uint64_t size) { return static_cast<int>(size); };
  return CheckBlas(
      cublasGemmEx(session->blas, CUBLAS_OP_T, CUBLAS_OP_N, number(p.n), number(p.m), number(p.k),
                   &p.alpha, p.b, type, number(p.ldb), p.a, type, number(p.lda), &p.beta, p.c,
                   CUDA_R_32F, number(p.ldc), CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
      "multiplying");
}

int MatMulNt(ForwardSession* session, const ForwardProduct* product) {
  return Product(session, *product, CUDA_R_32F);
}
int MatMulNtBf16(ForwardSession* session, const ForwardProduct* product) {
  return Product(session, *product, CUDA_R_16BF);
}

// The upper triangle by rows is the lower one by columns.
int AddGramOnDevice(ForwardSession* session, uint64_t rows, uint64_t n, const float* x,
                    uint64_t ldx, float* gram, uint64_t ldg) {
  for (const uint64_t size : {rows, n, ldx, ldg}) {
    if (size > INT_MAX) return Fail(kCudaFailed, "squaring", "a matrix is too large for cuBLAS");
  }
  if (rows == 0 || n == 0) return kCudaOk;
  if (const int code = Use(session); code != kCudaOk) return code;
  const float one = 1;
  return CheckBlas(cublasSsyrk(session->blas, CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_N,
                               static_cast<int>(n), static_cast<int>(rows), &one, x,
                               static_cast<int>(ldx), &one, gram, static_cast<int>(ldg)),
                   "squaring");
}

// ---- Kernels

constexpr int kThreads = 128;

unsigned GridOf(uint64_t threads) {
  return static_cast<unsigned>((threads + kThreads - 1) / kThreads);
}

// A thread for each column.
__global__ void __launch_bounds__(kThreads)
    ColumnSumsKernel(uint64_t rows, uint64_t cols, const float* x, uint64_t ldx, double* squares,
                     double* magnitudes) {
  const uint64_t c = uint64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (c >= cols) return;
  double square = squares != nullptr ? squares[c] : 0;
  double magnitude = magnitudes != nullptr ? magnitudes[c] : 0;
  for (uint64_t row = 0; row < rows; ++row) {
    const double value = x[row * ldx + c];
    square += value * value;
    magnitude += fabs(value);
  }
  if (squares != nullptr) squares[c] = square;
  if (magnitudes != nullptr) magnitudes[c] = magnitude;
}

__global__ void __launch_bounds__(kThreads)
    FillRowsKernel(uint64_t rows, uint64_t cols, const float* row, float* x, uint64_t stride) {
  const uint64_t i = uint64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < rows * cols) x[i / cols * stride + i % cols] = row[i % cols];
}

__global__ void __launch_bounds__(kThreads)
    ToBf16Kernel(uint64_t count, const float* x, uint16_t* out) {
  const uint64_t i = uint64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < count) out[i] = F32ToBF16(x[i]);
}

int AddColumnSums(ForwardSession* session, uint64_t rows, uint64_t cols, const float* x,
                  uint64_t ldx, double* squares, double* magnitudes) {
  if (cols == 0) return kCudaOk;
  if (const int code = Use(session); code != kCudaOk) return code;
  ColumnSumsKernel<<<GridOf(cols), kThreads, 0, session->stream>>>(rows, cols, x, ldx, squares,
                                                                   magnitudes);
  return Check(cudaGetLastError(), "starting column sums");
}

int FillRows(ForwardSession* session, uint64_t rows, uint64_t cols, const float* row, float* x,
             uint64_t stride) {
  if (rows == 0 || cols == 0) return kCudaOk;
  if (const int code = Use(session); code != kCudaOk) return code;
  FillRowsKernel<<<GridOf(rows * cols), kThreads, 0, session->stream>>>(rows, cols, row, x, stride);
  return Check(cudaGetLastError(), "starting a bias");
}

int ToBf16(ForwardSession* session, uint64_t count, const float* x, uint16_t* out) {
  if (count == 0) return kCudaOk;
  if (const int code = Use(session); code != kCudaOk) return code;
  ToBf16Kernel<<<GridOf(count), kThreads, 0, session->stream>>>(count, x, out);
  return Check(cudaGetLastError(), "starting a conversion");
}

int RmsNorm(ForwardSession* session, uint64_t rows, uint64_t cols, const float* x,
            const float* weight, float epsilon, float* out) {
  if (const int code = Use(session); code != kCudaOk) return code;
  return CheckLaunch(RmsNormCuda(rows, cols, x, weight, epsilon, out, session->stream),
                     "starting a normalization");
}

int Rotary(ForwardSession* session, uint64_t tokens, uint64_t heads, uint64_t head_dim,
           uint64_t rotary_dim, const float* cos, const float* sin, float* x, uint64_t stride) {
  if (const int code = Use(session); code != kCudaOk) return code;
  return CheckLaunch(
      ApplyRotaryCuda(tokens, heads, head_dim, rotary_dim, cos, sin, x, stride, session->stream),
      "starting a rotation");
}

int Gate(ForwardSession* session, int activation, uint64_t count, const float* gate,
         const float* up, float* out) {
  if (const int code = Use(session); code != kCudaOk) return code;
  return CheckLaunch(GatedActivationCuda(static_cast<Activation>(activation), count, gate, up, out,
                                         session->stream),
                     "starting an activation");
}

int Attend(ForwardSession* session, const AttentionShape* shape, const float* q, uint64_t q_stride,
           const float* k, const float* v, uint64_t kv_stride, float* out, uint64_t out_stride) {
  if (const int code = Use(session); code != kCudaOk) return code;
  return CheckLaunch(
      AttentionCuda(*shape, q, q_stride, k, v, kv_stride, out, out_stride, session->stream),
      "starting attention");
}

int Describe(int device, CudaDeviceInfo* info) {
  return DescribeDevice(device, ColumnSumsKernel, "loading the kernels", info);
}

const char* LastError() { return last_cuda_error; }

constexpr ForwardCudaApi kApi = {.version = kForwardCudaApiVersion,
                                 .count_devices = CountDevices,
                                 .describe = Describe,
                                 .open_session = OpenSession,
                                 .close_session = CloseSession,
                                 .allocate = Allocate,
                                 .release = Release,
                                 .upload = Upload,
                                 .download = Download,
                                 .copy = CopyOnDevice,
                                 .zero = Zero,
                                 .wait = Wait,
                                 .fill_rows = FillRows,
                                 .matmul_nt = MatMulNt,
                                 .matmul_nt_bf16 = MatMulNtBf16,
                                 .add_gram = AddGramOnDevice,
                                 .add_column_sums = AddColumnSums,
                                 .to_bf16 = ToBf16,
                                 .rms_norm = RmsNorm,
                                 .rotary = Rotary,
                                 .gated_activation = Gate,
                                 .attention = Attend,
                                 .last_error = LastError};

}  // namespace
}  // namespace quantized::kernels

extern "C" __attribute__((visibility("default"))) const quantized::kernels::ForwardCudaApi*
quantized_forward_cuda_api() {
  return &quantized::kernels::kApi;
}
