// Values per second of every encoder, without and with importance weights: plain form, Highway form
// and, where given, the reference encoders, timed in turn within each iteration on one thread's CPU
// time, so that a busy machine slows all three alike. Before timing, all forms must give the same
// bytes; else exit 1.
//
//   encoders_bench [--reference=LIB] [--check-rows=N] [google-benchmark's options]
//
// LIB (or the environment's QUANTIZED_REFERENCE) exports the reference's ggml_quantize_chunk. It is
// opened at run time: nothing here links it. tests/bench/encoders_vs_reference.sh makes one.
#include <benchmark/benchmark.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include "hwy/targets.h"
#include "kernels/codecs/codec.h"
#include "kernels/testing/rows.h"

namespace quantized::kernels {
namespace {

constexpr size_t kRows = 256, kCols = 2048;  // 2 MiB of values

// size_t (type, values, out, first value, rows, values per row, importance)
using ReferenceEncode = size_t (*)(uint32_t, const float*, void*, int64_t, int64_t, int64_t,
                                   const float*);
// Null, with a reason on stderr, where the library has no such function.
ReferenceEncode OpenReference(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_LAZY | RTLD_GLOBAL);
  void* found = library == nullptr ? nullptr : dlsym(library, "ggml_quantize_chunk");
  if (found == nullptr) std::fprintf(stderr, "cannot open the reference: %s\n", dlerror());
  return reinterpret_cast<ReferenceEncode>(found);
}

class Contender {
 public:
  // `weights`: the kind of importance, null for none.
  Contender(const Codec& codec, const testing::RowKind* weights, ReferenceEncode reference)
      : codec_(codec), reference_(reference), importance_(weights != nullptr ? kCols : 0) {
    if (weights != nullptr) weights->fill(importance_, /*seed=*/2);
  }

  enum Form { kPlain, kSimd, kReference, kForms };
  static constexpr const char* kNames[] = {"plain", "simd", "reference"};

  bool Has(Form form) const {
    // The reference's table has no encoder for F32.
    if (form == kReference) return reference_ != nullptr && codec_.id != TypeId::kF32;
    return form == kPlain || codec_.encode_simd != nullptr;
  }
  void Encode(Form form, const std::vector<float>& x, std::vector<std::byte>& out) const {
    const size_t rows = x.size() / kCols;
    switch (form) {
      case kPlain:
        return codec_.encode_ref(x.data(), importance(), rows, kCols, out.data());
      case kSimd:
        return codec_.encode_simd(x.data(), importance(), rows, kCols, out.data());
      default:
        reference_(static_cast<uint32_t>(codec_.id), x.data(), out.data(), 0,
                   static_cast<int64_t>(rows), kCols, importance());
    }
  }
  std::vector<std::byte> Buffer(size_t rows) const {
    return std::vector<std::byte>(rows * RowBytes(QuantTypeOf(codec_.id), kCols));
  }
  bool IsFinite(const std::vector<std::byte>& encoded, size_t count) const {
    return codec_.is_finite(encoded.data(), count);
  }
  std::string name() const {
    return std::string(QuantTypeOf(codec_.id).name) + (importance_.empty() ? "" : "/importance");
  }

 private:
  const float* importance() const { return importance_.empty() ? nullptr : importance_.data(); }

  const Codec& codec_;
  ReferenceEncode reference_;
  std::vector<float> importance_;
};

// Whether all forms give the same bytes for `rows` rows of each kind. Says what differs.
bool SameBytes(const Contender& contender, size_t rows) {
  bool same = true;
  for (const testing::RowKind& kind : testing::AllRowKinds()) {
    std::vector<float> x(rows * kCols);
    for (size_t row = 0; row < rows; ++row) {
      kind.fill(std::span(x).subspan(row * kCols, kCols), /*seed=*/1000 + row);
    }
    std::vector<std::byte> want = contender.Buffer(rows), got = want;
    contender.Encode(Contender::kPlain, x, want);
    for (const auto form : {Contender::kSimd, Contender::kReference}) {
      if (!contender.Has(form)) continue;
      // The reference stops the process at some rows that its own check would refuse.
      if (form == Contender::kReference && !contender.IsFinite(want, x.size())) continue;
      contender.Encode(form, x, got);
      if (got == want) continue;
      const size_t at = static_cast<size_t>(std::ranges::mismatch(got, want).in1 - got.begin());
      std::fprintf(stderr, "%s, %s rows: %s and plain differ from byte %zu of row %zu on\n",
                   contender.name().c_str(), std::string(kind.name).c_str(),
                   Contender::kNames[form], at % (want.size() / rows), at / (want.size() / rows));
      same = false;
    }
  }
  return same;
}

double ThreadSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

void Race(benchmark::State& state, const Contender& contender) {
  std::vector<float> x(kRows * kCols);
  testing::RowKindNamed("normal").fill(x, /*seed=*/1);
  std::vector<std::byte> out = contender.Buffer(kRows);
  double seconds[Contender::kForms] = {};
  for (auto _ : state) {
    for (const auto form : {Contender::kPlain, Contender::kSimd, Contender::kReference}) {
      if (!contender.Has(form)) continue;
      const double start = ThreadSeconds();
      contender.Encode(form, x, out);
      seconds[form] += ThreadSeconds() - start;
      benchmark::ClobberMemory();
    }
  }
  const double values = static_cast<double>(x.size()) * static_cast<double>(state.iterations());
  const auto rate = [&](Contender::Form form) { return values / seconds[form]; };
  const auto best = contender.Has(Contender::kSimd) ? Contender::kSimd : Contender::kPlain;
  state.counters["plain/s"] = rate(Contender::kPlain);
  if (contender.Has(Contender::kSimd)) {
    state.counters["simd/s"] = rate(Contender::kSimd);
    state.counters["simd/plain"] = rate(Contender::kSimd) / rate(Contender::kPlain);
  }
  if (contender.Has(Contender::kReference)) {
    state.counters["reference/s"] = rate(Contender::kReference);
    state.counters["best/reference"] = rate(best) / rate(Contender::kReference);
  } else {
    state.SetLabel("no reference");
  }
}

// The value of --NAME=VALUE, which is taken out of the arguments; else `fallback`.
std::string TakeFlag(int& argc, char** argv, std::string_view name, std::string fallback) {
  const std::string prefix = "--" + std::string(name) + "=";
  int kept = 0;
  for (int i = 0; i < argc; ++i) {
    if (std::string_view(argv[i]).starts_with(prefix)) {
      fallback = argv[i] + prefix.size();
    } else {
      argv[kept++] = argv[i];
    }
  }
  argc = kept;
  return fallback;
}

}  // namespace

int Main(int argc, char** argv) {
  const char* variable = std::getenv("QUANTIZED_REFERENCE");
  const std::string path = TakeFlag(argc, argv, "reference", variable != nullptr ? variable : "");
  const size_t check_rows =
      std::strtoull(TakeFlag(argc, argv, "check-rows", "16").c_str(), nullptr, 10);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const ReferenceEncode reference = path.empty() ? nullptr : OpenReference(path);
  if (!path.empty() && reference == nullptr) return 1;
  if (reference == nullptr) std::puts("reference not given: no ratios to it");

  // Those that race: without importance and with the first kind of it. All kinds are checked.
  std::vector<Contender> contenders;
  bool same = true;
  for (const Codec& codec : AllCodecs()) {
    if (codec.importance != Importance::kRequired) {
      contenders.emplace_back(codec, nullptr, reference);
      same &= SameBytes(contenders.back(), check_rows);
    }
    if (codec.importance == Importance::kIgnored) continue;
    for (const testing::RowKind& weights : testing::AllImportanceKinds()) {
      const Contender contender(codec, &weights, reference);
      same &= SameBytes(contender, check_rows);
      if (&weights == testing::AllImportanceKinds().data()) contenders.push_back(contender);
    }
  }
  std::printf("same bytes on %zu kinds of rows, %zu rows of %zu values each: %s\n",
              testing::AllRowKinds().size(), check_rows, kCols, same ? "yes" : "NO");
  for (const Contender& contender : contenders) {
    benchmark::RegisterBenchmark(contender.name().c_str(), Race, contender)
        ->Unit(benchmark::kMillisecond);
  }
  benchmark::RunSpecifiedBenchmarks();
  return same ? 0 : 1;
}

}  // namespace quantized::kernels

int main(int argc, char** argv) { return quantized::kernels::Main(argc, argv); }
