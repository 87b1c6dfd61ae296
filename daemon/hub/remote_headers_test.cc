#include "daemon/hub/remote_headers.h"

#include "daemon/hub/hub_cache.h"
#include "daemon/hub/hub_test.h"
#include "tests/support/gguf_bytes.h"
#include "tests/support/sandbox.h"

namespace quantized {
namespace {

using ::testing::HasSubstr;

namespace fs = std::filesystem;

class RemoteHeadersTest : public HubTest {
 protected:
  fs::path stand_in() const { return folder_.path() / "stand-in"; }
};

TEST_F(RemoteHeadersTest, AStandInHasHeadersAndSizes) {
  const testing::HubRepository model = Model("me/model");
  server_.Add(model);
  for (const bool ranges : {true, false}) {
    if (!ranges) server_.Fail({.kind = testing::HubFaultKind::kNoRanges, .times = 1'000'000});
    const auto headers = FetchHeaders(Context(), *ParseHubId("me/model"), Texts::kFew, stand_in());
    ASSERT_TRUE(headers.ok()) << headers.status();
    EXPECT_EQ(headers->path, stand_in());
    EXPECT_EQ(headers->commit, model.Commit());
    if (ranges) {
      EXPECT_LT(headers->fetched_bytes, 2 * (64u << 10) + 1000);
    }
    EXPECT_EQ(Contents(stand_in() / "config.json"), model.files.at("config.json").bytes);
    EXPECT_FALSE(fs::exists(stand_in() / "tokenizer.json"));
    for (const std::string name :
         {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}) {
      const std::string bytes = Contents(stand_in() / name);
      const size_t header = 8 + static_cast<size_t>(bytes[0]);
      ASSERT_EQ(bytes.size(), kWeightBytes);
      EXPECT_EQ(bytes.substr(0, header), model.files.at(name).bytes.substr(0, header));
      EXPECT_EQ(bytes.find_first_not_of('\0', header), std::string::npos);
    }
  }
}

TEST_F(RemoteHeadersTest, AModelThatIsHereIsItself) {
  server_.Add(Model("me/model"));
  const HubId id = *ParseHubId("me/model");
  FetchContext offline = Context();
  offline.settings.offline = true;
  EXPECT_EQ(ErrorOf(FetchHeaders(offline, id, Texts::kFew, stand_in()).status()),
            Error::kModelNotFound);
  const auto fetched = FetchModel(Context(), id);
  ASSERT_TRUE(fetched.ok());
  FetchContext alone = Context();
  alone.settings.endpoint = "http://127.0.0.1:9";
  for (const FetchContext& context : {Context(), offline, alone}) {
    const auto headers = FetchHeaders(context, id, Texts::kFew, stand_in());
    ASSERT_TRUE(headers.ok()) << headers.status();
    EXPECT_EQ(headers->path, fetched->path);
    EXPECT_EQ(headers->fetched_bytes, 0u);
  }
  EXPECT_FALSE(fs::exists(stand_in()));
}

TEST_F(RemoteHeadersTest, AllTexts) {
  server_.Add(Model("me/model"));
  const auto headers = FetchHeaders(Context(), *ParseHubId("me/model"), Texts::kAll, stand_in());
  ASSERT_TRUE(headers.ok()) << headers.status();
  EXPECT_TRUE(fs::exists(stand_in() / "tokenizer.json"));
  EXPECT_TRUE(fs::exists(stand_in() / "README.md"));
}

TEST_F(RemoteHeadersTest, AChatTemplateIsOneOfTheFewTexts) {
  testing::HubRepository model = Model("me/model");
  for (const std::string name : {"chat_template.json", "chat_template.jinja"}) {
    model.AddFile(name, "{}");
  }
  server_.Add(model);
  ASSERT_TRUE(FetchHeaders(Context(), *ParseHubId("me/model"), Texts::kFew, stand_in()).ok());
  EXPECT_EQ(Contents(stand_in() / "chat_template.json"), "{}");
  EXPECT_EQ(Contents(stand_in() / "chat_template.jinja"), "{}");
}

// Whatever is in one of the caches, or came of a download that was cut, does not come again.
TEST_F(RemoteHeadersTest, MissingIsWhatIsInNoCache) {
  const testing::HubRepository model = Model("me/model");
  server_.Add(model);
  const HubId id = *ParseHubId("me/model");
  const auto missing = [&] {
    const auto headers = FetchHeaders(Context(), id, Texts::kAll, stand_in());
    EXPECT_TRUE(headers.ok()) << headers.status();
    return headers.ok() ? headers->missing_bytes : 0;
  };
  const uint64_t all_bytes = missing();
  EXPECT_GT(all_bytes, 2 * kWeightBytes);

  FetchContext theirs = Context();
  theirs.settings.cache = shared_cache();
  theirs.settings.shared_cache.clear();
  ASSERT_TRUE(FetchModel(theirs, id).ok());
  const std::string last = model.files.at("model-00002-of-00002.safetensors").hash();
  fs::remove(HubCache(shared_cache()).BlobPath(id, last));
  EXPECT_EQ(missing(), kWeightBytes);

  std::stop_source stop;
  FetchContext stopped = Context();
  stopped.stop = stop.get_token();
  stopped.rules.connections = 1;
  stopped.on_progress = [&](const FetchProgress& progress) {
    if (progress.done_bytes > progress.total_bytes - kWeightBytes + 3 * kChunkBytes) {
      stop.request_stop();
    }
  };
  EXPECT_EQ(ErrorOf(FetchModel(stopped, id).status()), Error::kCancelled);
  EXPECT_EQ(missing(), kWeightBytes - 3 * kChunkBytes);

  ASSERT_TRUE(FetchModel(Context(), id).ok());
  fs::remove(HubCache(cache()).BlobPath(id, last));
  ASSERT_TRUE(RemoveAll(shared_cache()).ok());
  EXPECT_EQ(missing(), kWeightBytes);
}

// Each step of a GGUF header goes as far as is known to be needed, or a little further.
TEST_F(RemoteHeadersTest, OfAGgufFileOnlyItsHeaderComes) {
  constexpr size_t kFileBytes = 9'000'000;
  testing::GgufBytes first(/*tensor_count=*/1, /*pair_count=*/2);
  first.Key("tokens", 9).Number(uint32_t{8}).Number(uint64_t{60'000});
  for (int i = 0; i < 60'000; ++i) first.String("ab");
  first.Key("text", 8).String(std::string(5'000'000, 't')).Tensor("a", {32}, 0, 0);
  testing::GgufBytes second(1, 0), third(2, 0);
  second.Tensor("b", {32}, 0, 0);
  third.Tensor("c", {32}, 0, 0).Tensor("d", {32}, 0, 128);
  const std::string headers[] = {first, second, third};
  testing::HubRepository model{.name = "me/model"};
  for (size_t i = 0; i < std::size(headers); ++i) {
    model.AddFile(absl::StrCat("m-0000", i + 1, "-of-00003.gguf"),
                  headers[i] + std::string(kFileBytes - headers[i].size(), 'x'));
  }
  server_.Add(model);
  const auto looked = FetchHeaders(Context(), *ParseHubId("me/model"), Texts::kFew, stand_in());
  ASSERT_TRUE(looked.ok()) << looked.status();
  for (size_t i = 0; i < std::size(headers); ++i) {
    const std::string bytes =
        Contents(stand_in() / absl::StrCat("m-0000", i + 1, "-of-00003.gguf"));
    ASSERT_EQ(bytes.size(), kFileBytes);
    EXPECT_TRUE(bytes.starts_with(headers[i])) << i;
    EXPECT_EQ(bytes.find_first_not_of('\0', headers[i].size()), std::string::npos) << i;
  }
  EXPECT_LT(looked->fetched_bytes, headers[0].size() + (4u << 20) + 2 * (64u << 10) + 1);
}

// Whoever parses the stand-in says what is wrong with it.
TEST_F(RemoteHeadersTest, AGgufHeaderThatCannotBeIsNotReadOn) {
  testing::HubRepository model{.name = "me/model"};
  const std::string endless = testing::GgufBytes(0, 1).Number(uint64_t{1} << 60);
  for (const std::string& start : {endless, std::string("no GGUF")}) {
    model.AddFile("m.gguf", start + std::string(1 << 20, 'x'));
    server_.Add(model);
    const auto looked = FetchHeaders(Context(), *ParseHubId("me/model"), Texts::kFew, stand_in());
    ASSERT_TRUE(looked.ok()) << looked.status();
    EXPECT_EQ(looked->fetched_bytes, 64u << 10);
    EXPECT_TRUE(Contents(stand_in() / "m.gguf").starts_with(start));
  }
}

TEST_F(RemoteHeadersTest, AWaitThatTheHubAsksForIsTold) {
  using Kind = testing::HubFaultKind;
  server_.Add(Model("me/model"));
  std::vector<std::string> messages;
  FetchContext context = Context();
  context.on_message = [&](std::string_view text) { messages.emplace_back(text); };
  for (const std::string path_part : {"/api/", "/resolve/"}) {
    server_.Fail(
        {.kind = Kind::kTooManyRequests, .port = testing::HubPort::kHub, .path_part = path_part});
  }
  EXPECT_TRUE(PinModel(context, *ParseHubId("me/model")).ok());
  EXPECT_THAT(messages, ::testing::ElementsAre("The Hub asks to wait 7 s (429)",
                                               "The Hub asks to wait 7 s (429)"));
  messages.clear();
  server_.Fail({.kind = Kind::kTooManyRequests, .times = 1});
  EXPECT_TRUE(FetchHeaders(context, *ParseHubId("me/model"), Texts::kFew, stand_in()).ok());
  EXPECT_THAT(messages, ::testing::ElementsAre("The Hub asks to wait 7 s (429)"));
}

TEST_F(RemoteHeadersTest, APinIsTheCommitOfWhatCanBeFetched) {
  testing::HubRepository model = Model("me/model");
  server_.Add(model);
  const HubId id = *ParseHubId("me/model");
  EXPECT_EQ(*PinModel(Context(), id), model.Commit());
  EXPECT_TRUE(testing::FilesBelow(folder_.path()).empty());

  model.gated = true;
  server_.Add(model);
  EXPECT_EQ(ErrorOf(PinModel(Context(), id).status()), Error::kAuthenticationRequired);
  EXPECT_EQ(ErrorOf(PinModel(Context(), *ParseHubId("me/other")).status()), Error::kModelNotFound);
  testing::HubRepository pickle{.name = "me/pickle"};
  pickle.AddFile("pytorch_model.bin", "a pickle");
  server_.Add(pickle);
  EXPECT_THAT(MessageOf(PinModel(Context(), *ParseHubId("me/pickle")).status()),
              HasSubstr("pickled"));
  // Without an index it is a weight file that shows who may read: the README.md is open.
  model.files.erase("model.safetensors.index.json");
  server_.Add(model);
  EXPECT_EQ(ErrorOf(PinModel(Context(), id).status()), Error::kAuthenticationRequired);
}

// Whom the Hub redirects to knows nothing of accounts and models.
TEST_F(RemoteHeadersTest, ARefusalOfAnotherIsNotTheHubs) {
  server_.Add(Model("me/model"));
  const HubId id = *ParseHubId("me/model");
  for (const std::string status : {"401 Unauthorized", "403 Forbidden", "404 Not Found"}) {
    server_.Override([status](const testing::HubRequest& request) -> std::optional<std::string> {
      if (request.port != testing::HubPort::kCdn) return std::nullopt;
      return absl::StrCat("HTTP/1.1 ", status, "\r\nContent-Length: 0\r\n\r\n");
    });
    const absl::Status failure = PinModel(Context(), id).status();
    EXPECT_EQ(ErrorOf(failure), Error::kIo) << failure;
    EXPECT_THAT(MessageOf(failure), HasSubstr("answers with status " + status.substr(0, 3)));
  }
  server_.Override(nullptr);
  server_.Fail({.kind = testing::HubFaultKind::kExpired, .times = 2});
  EXPECT_TRUE(PinModel(Context(), id).ok());
}

// A person waits for the answer.
TEST_F(RemoteHeadersTest, APinIsGivenUpSoon) {
  server_.Add(Model("me/model"));
  server_.Fail({.kind = testing::HubFaultKind::kCloseBeforeHeaders,
                .port = testing::HubPort::kHub,
                .times = 1000});
  EXPECT_EQ(ErrorOf(PinModel(Context(), *ParseHubId("me/model")).status()), Error::kIo);
  EXPECT_LE(waiter_.waits().size(), 5u);
}

TEST_F(RemoteHeadersTest, AHubWhoseNameIsNotFoundIsOneThatCannotBeReached) {
  FetchContext context = Context();
  for (const std::string endpoint : {"http://127.0.0.1:9", "http://nothere.invalid"}) {
    context.settings.endpoint = endpoint;
    const size_t waits = waiter_.waits().size();
    const absl::Status failure = PinModel(context, *ParseHubId("me/model")).status();
    EXPECT_EQ(ErrorOf(failure), Error::kIo) << failure;
    EXPECT_THAT(MessageOf(failure), HasSubstr("after 5 attempts: cannot read " + endpoint));
    EXPECT_THAT(SuggestionOf(failure), HasSubstr("HF_ENDPOINT"));
    EXPECT_EQ(waiter_.waits().size(), waits + 4);
  }
}

TEST_F(RemoteHeadersTest, APinnedModelIsThatCommitWhateverItsBranchBecame) {
  const testing::HubRepository model = Model("me/model");
  server_.Add(model);
  const HubId id = *ParseHubId("me/model");
  const std::string commit = *PinModel(Context(), id);
  testing::HubRepository newer = model;
  newer.AddFile("model-00001-of-00002.safetensors", Weights(7));
  server_.Add(newer);
  EXPECT_NE(*PinModel(Context(), id), commit);
  const auto fetched = FetchPinnedModel(Context(), id, commit);
  ASSERT_TRUE(fetched.ok()) << fetched.status();
  ExpectWhole(fetched->path, model);
  server_.ForgetRequests();
  EXPECT_TRUE(FetchPinnedModel(Context(), id, commit).ok());
  EXPECT_TRUE(server_.requests().empty());
  FetchContext offline = Context();
  offline.settings.offline = true;
  EXPECT_EQ(*PinModel(offline, id), commit);
}

TEST_F(RemoteHeadersTest, ALengthThatCannotBe) {
  for (const uint64_t length : {uint64_t{1} << 63, uint64_t{1'000'000'000}, uint64_t{100'000}}) {
    testing::HubRepository model{.name = "me/model"};
    std::string bytes(70'000, ' ');
    for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(length >> (8 * i));
    model.AddFile("model.safetensors", bytes);
    server_.Add(model);
    const auto headers = FetchHeaders(Context(), *ParseHubId("me/model"), Texts::kFew, stand_in());
    EXPECT_EQ(ErrorOf(headers.status()), Error::kValidationFailed) << headers.status();
    EXPECT_THAT(MessageOf(headers.status()), HasSubstr("at most 69992 are possible"));
  }
}

TEST_F(RemoteHeadersTest, AConfigWithAnotherHash) {
  server_.Add(Model("me/model"));
  server_.Fail({.kind = testing::HubFaultKind::kFlipByte,
                .port = testing::HubPort::kHub,
                .path_part = "config.json",
                .times = 100,
                .at_byte = 3});
  const auto headers = FetchHeaders(Context(), *ParseHubId("me/model"), Texts::kFew, stand_in());
  EXPECT_EQ(ErrorOf(headers.status()), Error::kValidationFailed) << headers.status();
}

// Neither more than was asked for, nor from another place.
TEST_F(RemoteHeadersTest, ARangeThatWasNotAskedFor) {
  const testing::HubRepository model = Model("me/model");
  server_.Add(model);
  const auto answer = [&](const std::string& range, size_t length) {
    server_.Override([=](const testing::HubRequest& request) -> std::optional<std::string> {
      if (request.port == testing::HubPort::kHub) return std::nullopt;
      return absl::StrCat("HTTP/1.1 206 Partial Content\r\nContent-Range: ", range,
                          "\r\nContent-Length: ", length, "\r\n\r\n") +
             model.files.at("model-00001-of-00002.safetensors").bytes + std::string(length, 'x');
    });
    return FetchHeaders(Context(), *ParseHubId("me/model"), Texts::kFew, stand_in());
  };
  const std::string asked = absl::StrCat("bytes 0-65535/", kWeightBytes);
  constexpr size_t kEndless = 30 << 20;
  const auto endless = answer(asked, kEndless);
  ASSERT_TRUE(endless.ok()) << endless.status();
  EXPECT_LT(endless->fetched_bytes, kEndless / 10);
  for (const std::string& range :
       {std::string(), absl::StrCat("bytes 1-65536/", kWeightBytes),
        absl::StrCat("bytes 0-65535/", kWeightBytes + 1), std::string("bytes */9")}) {
    const auto headers = answer(range, 65536);
    EXPECT_EQ(ErrorOf(headers.status()), Error::kValidationFailed) << range;
    EXPECT_THAT(MessageOf(headers.status()), HasSubstr("expected bytes 0-65535/"));
  }
}

TEST_F(RemoteHeadersTest, FaultsPass) {
  using Kind = testing::HubFaultKind;
  server_.Add(Model("me/model"));
  for (const Kind kind : {Kind::kCloseBeforeHeaders, Kind::kCloseInBody, Kind::kServerError}) {
    server_.Fail({.kind = kind, .times = 2, .at_byte = 100});
    EXPECT_TRUE(FetchHeaders(Context(), *ParseHubId("me/model"), Texts::kFew, stand_in()).ok());
  }
}

}  // namespace
}  // namespace quantized
