// Fuzz target: the stream of frames that a worker sends. The first byte of the input tells the size
// of the portions in which the rest arrives. Beyond not crashing: portions make no difference, each
// frame gives one message, and a length that is not allowed ends the stream.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/check.h"
#include "core/base/text.h"
#include "daemon/worker/frames.h"

namespace quantized {
namespace {

struct Heard {
  std::vector<std::string> messages;
  bool ended = false;  // by a frame that cannot be read
};

Heard Hear(std::string_view stream, size_t portion) {
  Heard heard;
  FrameReader reader;
  while (!stream.empty() && !heard.ended) {
    reader.Append(stream.substr(0, portion));
    stream.remove_prefix(std::min(portion, stream.size()));
    for (;;) {
      const auto frame = reader.Next<v1::WorkerFrame>();
      heard.ended = !frame.ok();
      if (!frame.ok() || !frame->has_value()) break;
      heard.messages.push_back((*frame)->SerializeAsString());
    }
  }
  return heard;
}

// What is wrong with a stream must be told as soon as its lengths show it: a stream that was not
// ended holds whole frames of allowed lengths, then at most the beginning of one.
void CheckLengths(std::string_view stream, const Heard& heard) {
  size_t frames = 0;
  while (!heard.ended && stream.size() >= kFrameHeaderBytes) {
    uint32_t size = 0;
    for (int i = 3; i >= 0; --i) size = size << 8 | static_cast<uint8_t>(stream[i]);
    CHECK(size <= kMaxFrameBytes);
    if (stream.size() - kFrameHeaderBytes < size) break;
    stream.remove_prefix(kFrameHeaderBytes + size);
    ++frames;
  }
  CHECK(heard.ended || heard.messages.size() == frames);
}

}  // namespace
}  // namespace quantized

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quantized;
  if (size == 0) return 0;
  const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Heard in_portions = Hear(stream, 1 + data[0] % 64);
  const Heard at_once = Hear(stream, stream.size());
  CHECK(in_portions.messages == at_once.messages && in_portions.ended == at_once.ended);
  CheckLengths(stream, at_once);
  const std::string printable = PrintableText(stream);
  CHECK(printable.size() <= stream.size() && PrintableText(printable) == printable);
  return 0;
}
