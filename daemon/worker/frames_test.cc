#include "daemon/worker/frames.h"

#include <string>

#include "core/base/error.h"
#include "gtest/gtest.h"

namespace quantized {
namespace {

std::string Framed(const google::protobuf::MessageLite& message) {
  return EncodeFrame(message).value();
}

v1::WorkerFrame MessageFrame(const std::string& line) {
  v1::WorkerFrame frame;
  frame.mutable_message()->set_line(line);
  return frame;
}

TEST(FramesTest, LengthIsLittleEndianAndBeforeTheMessage) {
  const std::string frame = Framed(MessageFrame(std::string(300, 'x')));
  const size_t size = frame.size() - 4;
  EXPECT_EQ(frame.substr(0, 4), (std::string{static_cast<char>(size & 0xff),
                                             static_cast<char>(size >> 8), '\0', '\0'}));
}

TEST(FramesTest, AnyPortionsGiveTheSameMessages) {
  std::string stream;
  for (int i = 0; i < 50; ++i) stream += Framed(MessageFrame(std::string(i * 7, 'a' + i % 26)));
  for (const size_t portion : {1u, 3u, 4u, 5u, 64u, 100000u}) {
    SCOPED_TRACE(portion);
    FrameReader reader;
    int seen = 0;
    for (size_t at = 0; at < stream.size(); at += portion) {
      reader.Append(std::string_view(stream).substr(at, portion));
      for (;;) {
        const auto frame = reader.Next<v1::WorkerFrame>();
        ASSERT_TRUE(frame.ok()) << frame.status();
        if (!frame->has_value()) break;
        EXPECT_EQ((*frame)->message().line(), std::string(seen * 7, 'a' + seen % 26));
        ++seen;
      }
    }
    EXPECT_EQ(seen, 50);
  }
}

TEST(FramesTest, LargestFramePassesAndOneByteMoreDoesNot) {
  // One byte of tag and four of length before the line, twice.
  const std::string line(kMaxFrameBytes - 10, 'x');
  const v1::WorkerFrame largest = MessageFrame(line);
  ASSERT_EQ(largest.ByteSizeLong(), kMaxFrameBytes);
  FrameReader reader;
  reader.Append(Framed(largest));
  const auto frame = reader.Next<v1::WorkerFrame>();
  ASSERT_TRUE(frame.ok() && frame->has_value());
  EXPECT_EQ((*frame)->message().line(), line);
  EXPECT_EQ(ErrorOf(EncodeFrame(MessageFrame(line + "x")).status()), Error::kInternal);
}

TEST(FramesTest, RefusesALengthBeforeItsBytesCome) {
  for (const std::string& header :
       {std::string("\x01\x00\x00\x01", 4), std::string("\xff\xff\xff\xff")}) {
    FrameReader reader;
    reader.Append(header);
    const auto frame = reader.Next<v1::WorkerFrame>();
    ASSERT_FALSE(frame.ok());
    EXPECT_NE(frame.status().message().find("at most 16777216"), absl::string_view::npos);
  }
}

TEST(FramesTest, RefusesWhatIsNoMessage) {
  const std::string not_protobuf("\x03\x00\x00\x00\xff\xff\xff", 7);
  const std::string empty("\x00\x00\x00\x00", 4);
  const std::string unknown_kind("\x03\x00\x00\x00\xfa\x01\x00", 7);  // field 31, no bytes
  for (const std::string& bytes : {not_protobuf, empty, unknown_kind}) {
    FrameReader reader;
    reader.Append(bytes);
    EXPECT_FALSE(reader.Next<v1::WorkerFrame>().ok());
  }
}

}  // namespace
}  // namespace quantized
