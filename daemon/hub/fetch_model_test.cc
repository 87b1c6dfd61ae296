#include "daemon/hub/fetch_model.h"

#include <fstream>
#include <set>

#include "absl/strings/str_cat.h"
#include "daemon/hub/hub_cache.h"
#include "daemon/hub/hub_test.h"
#include "tests/support/sandbox.h"

namespace quantized {
namespace {

using ::testing::HasSubstr;
using testing::HubFaultKind;
using testing::HubPort;
using testing::HubRequest;
using ::testing::IsEmpty;
using ::testing::Not;

namespace fs = std::filesystem;

class FetchModelTest : public HubTest {
 protected:
  FetchModelTest() : model_(Model("me/model")), id_(*ParseHubId("me/model")) {
    server_.Add(model_);
  }

  // Fetches and expects a whole snapshot.
  FetchedModel Fetch(const FetchContext& context) {
    const auto fetched = FetchModel(context, id_);
    EXPECT_TRUE(fetched.ok()) << fetched.status();
    if (!fetched.ok()) return {};
    EXPECT_EQ(fetched->commit, model_.Commit());
    ExpectWhole(fetched->path, model_);
    EXPECT_THAT(Leftovers(), IsEmpty());
    return *fetched;
  }

  std::vector<std::string> Leftovers() const {
    std::vector<std::string> left;
    for (const std::string& file : testing::FilesBelow(cache())) {
      if (file.find(".chunks.") != std::string::npos || file.ends_with(".tmp"))
        left.push_back(file);
    }
    return left;
  }

  size_t CdnRequests() const {
    size_t count = 0;
    for (const HubRequest& request : server_.requests()) count += request.port == HubPort::kCdn;
    return count;
  }

  testing::HubRepository model_;
  HubId id_;
};

TEST_F(FetchModelTest, LaysTheModelOutAsHuggingfaceHubDoes) {
  std::vector<FetchProgress> progress;
  FetchContext context = Context();
  context.on_progress = [&](const FetchProgress& one) { progress.push_back(one); };
  const FetchedModel fetched = Fetch(context);
  const fs::path repository = cache() / "models--me--model";
  EXPECT_EQ(fetched.path, repository / "snapshots" / model_.Commit());
  EXPECT_EQ(Contents(repository / "refs/main"), model_.Commit());
  for (const auto& [path, file] : model_.files) {
    if (!fs::exists(fetched.path / path)) continue;
    EXPECT_EQ(fs::read_symlink(fetched.path / path), "../../blobs/" + file.hash());
  }
  EXPECT_EQ(fetched.files, 6u);
  ASSERT_FALSE(progress.empty());
  EXPECT_EQ(progress.back().done_bytes, fetched.size_bytes);
  EXPECT_EQ(progress.back().total_bytes, fetched.size_bytes);
  for (const FetchProgress& one : progress) EXPECT_LE(one.done_bytes, one.total_bytes);
  // The Hub was asked once where each large file is, or once per connection.
  EXPECT_LE(server_.requests().size() - CdnRequests(), 5u + 2 * 4u);
}

TEST_F(FetchModelTest, WhatIsThereIsNotFetched) {
  Fetch(Context());
  server_.ForgetRequests();
  EXPECT_EQ(Fetch(Context()).fetched_bytes, 0u);
  EXPECT_EQ(server_.requests().size(), 1u);  // what main is now
  id_.revision = model_.Commit();
  server_.ForgetRequests();
  Fetch(Context());
  EXPECT_THAT(server_.requests(), IsEmpty());
}

TEST_F(FetchModelTest, ANewCommitFetchesWhatChanged) {
  Fetch(Context());
  model_.AddFile("config.json", R"({"architectures":["X"]})");
  server_.Add(model_);
  server_.ForgetRequests();
  Fetch(Context());
  EXPECT_EQ(CdnRequests(), 0u);
  EXPECT_EQ(server_.requests().size(), 2u);
}

TEST_F(FetchModelTest, EmptyFilesAndFilesThatAreTheSame) {
  model_.AddFile("merges.txt", "");
  model_.AddFile("vocab.txt", "{}");
  model_.AddFile("vocab.json", "{}");
  server_.Add(model_);
  for (const size_t connections : {1, 4}) {
    ASSERT_TRUE(RemoveAll(cache()).ok());
    FetchContext context = Context();
    context.rules.connections = connections;
    EXPECT_EQ(Fetch(context).files, 9u);
  }
}

TEST_F(FetchModelTest, EveryFaultPasses) {
  const HubFaultKind kinds[] = {HubFaultKind::kCloseBeforeHeaders,
                                HubFaultKind::kCloseInHeaders,
                                HubFaultKind::kCloseInBody,
                                HubFaultKind::kCloseBeforeEnd,
                                HubFaultKind::kTooManyRequests,
                                HubFaultKind::kServerError,
                                HubFaultKind::kExpired,
                                HubFaultKind::kFlipByte,
                                HubFaultKind::kAnotherFile,
                                HubFaultKind::kAnotherEtag,
                                HubFaultKind::kNoRanges,
                                HubFaultKind::kWrongRange};
  for (const HubFaultKind kind : kinds) {
    // What came is wrong, which shows when all of it is there.
    const bool spoils = kind == HubFaultKind::kFlipByte || kind == HubFaultKind::kAnotherFile;
    for (const uint64_t skip : {0, 1, 5, 15}) {
      SCOPED_TRACE(absl::StrCat("kind ", static_cast<int>(kind), " after ", skip));
      ASSERT_TRUE(RemoveAll(cache()).ok());
      server_.Fail({.kind = kind, .at_byte = 5000, .skip = skip});
      const FetchedModel fetched = Fetch(Context());
      // Before a range came, a server without ranges is believed.
      const bool is_believed = kind == HubFaultKind::kNoRanges && skip < 5;
      const uint64_t twice_bytes = spoils || is_believed ? kWeightBytes : kChunkBytes;
      EXPECT_LE(fetched.fetched_bytes, fetched.size_bytes + twice_bytes);
      server_.StopFailing();
    }
  }
}

// The Hub says of another file where it is.
TEST_F(FetchModelTest, ARedirectToAnotherFile) {
  const std::string hash = model_.files["model-00001-of-00002.safetensors"].sha256;
  server_.Override([this, hash](const HubRequest& request) -> std::optional<std::string> {
    if (request.port != HubPort::kHub || !request.path.ends_with("00001-of-00002.safetensors")) {
      return std::nullopt;
    }
    return absl::StrCat("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: ", server_.cdn(),
                        "/lfs/", hash, "\r\nX-Linked-Etag: \"", std::string(64, 'f'), "\"\r\n\r\n");
  });
  const absl::Status refused = FetchModel(Context(), id_).status();
  EXPECT_EQ(ErrorOf(refused), Error::kValidationFailed) << refused;
  EXPECT_THAT(MessageOf(refused), HasSubstr("the Hub serves \"ffff"));
}

// Nothing is made in a cache that has all.
TEST_F(FetchModelTest, AWholeCacheMayBeReadOnly) {
  const FetchedModel fetched = Fetch(Context());
  ASSERT_TRUE(RemoveAll(cache() / ".locks").ok());
  std::ofstream(cache() / ".locks") << "no folder can be made here";
  EXPECT_EQ(Fetch(Context()).path, fetched.path);
}

// A download whose parts were smaller.
TEST_F(FetchModelTest, ASmallFileOfOtherRules) {
  testing::HubRepository model{.name = "me/model"};
  model.AddFile("model.safetensors", Weights(6).substr(0, kChunkBytes));
  server_.Add(model);
  std::stop_source stop;
  FetchContext stopped = Context();
  stopped.stop = stop.get_token();
  stopped.on_progress = [&](const FetchProgress& progress) {
    if (progress.done_bytes > 0) stop.request_stop();
  };
  EXPECT_EQ(ErrorOf(FetchModel(stopped, id_).status()), Error::kCancelled);
  EXPECT_THAT(Leftovers(), ::testing::SizeIs(2));
  FetchContext context = Context();
  context.rules.connections = 1;
  ASSERT_TRUE(FetchModel(context, id_).ok());
  EXPECT_THAT(Leftovers(), IsEmpty());
}

TEST_F(FetchModelTest, AStopEndsTheHashing) {
  const testing::HubFile& file = model_.files["model-00001-of-00002.safetensors"];
  const HubCache hub_cache(cache());
  ASSERT_TRUE(hub_cache.Prepare(id_).ok());
  const RemoteFile remote = {.path = "model-00001-of-00002.safetensors",
                             .size_bytes = file.bytes.size(),
                             .blob_id = file.blob_id,
                             .lfs_sha256 = file.sha256};
  const fs::path blob = hub_cache.BlobPath(id_, file.sha256);
  const DownloadRules rules = Context().rules;
  const ChunkJournal::Key key = {
      .hash = file.sha256, .size_bytes = file.bytes.size(), .chunk_bytes = rules.chunk_bytes};
  std::ofstream(blob.string() + ".chunks.incomplete") << file.bytes;
  {
    auto journal = ChunkJournal::Open(blob.string() + ".chunks.journal", key);
    ASSERT_TRUE(journal.ok());
    for (size_t chunk = 0; chunk < key.chunk_count(); ++chunk) {
      ASSERT_TRUE(journal->Add(chunk).ok());
    }
  }
  const auto open = [&] {
    return *BlobDownload::Open({.id = id_, .commit = model_.Commit(), .file = remote, .blob = blob},
                               rules, [](int64_t) {});
  };
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(ErrorOf(open()->FinishIfComplete(stop.get_token()).status()), Error::kCancelled);
  EXPECT_FALSE(fs::exists(blob));
  EXPECT_TRUE(*open()->FinishIfComplete({}));
  EXPECT_TRUE(fs::exists(blob));
}

// Whoever waits is told for what.
TEST_F(FetchModelTest, AWaitForAnotherProcessIsTold) {
  const HubCache hub_cache(cache());
  ASSERT_TRUE(hub_cache.Prepare(id_).ok());
  const std::string hash = model_.files["model-00001-of-00002.safetensors"].sha256;
  std::optional<CacheLock> theirs = *CacheLock::Try(hub_cache.LockPath(id_, hash));
  ASSERT_TRUE(theirs);
  std::string message;
  FetchContext context = Context();
  context.on_message = [&](std::string_view text) {
    message = text;
    theirs.reset();
  };
  Fetch(context);
  EXPECT_EQ(message,
            "Waiting for 'model-00001-of-00002.safetensors', which another process fetches");
}

TEST_F(FetchModelTest, FaultsAtTheHubPass) {
  for (const HubFaultKind kind :
       {HubFaultKind::kCloseBeforeHeaders, HubFaultKind::kCloseInHeaders,
        HubFaultKind::kCloseInBody, HubFaultKind::kCloseBeforeEnd, HubFaultKind::kTooManyRequests,
        HubFaultKind::kServerError, HubFaultKind::kFlipByte, HubFaultKind::kAnotherFile}) {
    SCOPED_TRACE(static_cast<int>(kind));
    ASSERT_TRUE(RemoveAll(cache()).ok());
    server_.Fail({.kind = kind, .port = HubPort::kHub, .path_part = "config.json", .at_byte = 3});
    Fetch(Context());
  }
}

// The network is away for minutes, at the beginning and in the midst of it.
TEST_F(FetchModelTest, AnOutageIsSatOut) {
  FetchContext context = Context();
  context.rules.connections = 1;
  server_.Fail({.kind = HubFaultKind::kCloseBeforeHeaders,
                .port = HubPort::kHub,
                .path_part = "/api/",
                .times = 15});
  server_.Fail({.kind = HubFaultKind::kCloseBeforeHeaders, .times = 15, .skip = 3});
  Fetch(context);
  EXPECT_GT(waiter_.waits().size(), 20u);  // curl itself asks again on a kept connection
}

TEST_F(FetchModelTest, AStalledTransferIsTakenUp) {
  for (const HubFaultKind kind : {HubFaultKind::kStall, HubFaultKind::kStallBeforeHeaders}) {
    ASSERT_TRUE(RemoveAll(cache()).ok());
    const size_t waits = waiter_.waits().size();
    server_.Fail({.kind = kind, .at_byte = 1000});
    Fetch(Context());
    EXPECT_GT(waiter_.waits().size(), waits);
  }
}

// Who finds nothing to do while another begins the only file waits for its chunks.
TEST_F(FetchModelTest, AllConnectionsServeOneFile) {
  testing::HubRepository model{.name = "me/model"};
  model.AddFile("model.safetensors", Weights(3));
  server_.Add(model);
  FetchContext context = Context();
  context.rules.connections = 4;
  context.stall_timeout = std::chrono::minutes(10);  // who waits for the others is not given up
  server_.Gather("/lfs/", 4);
  const auto fetched = FetchModel(context, id_);
  ASSERT_TRUE(fetched.ok()) << fetched.status();
  ExpectWhole(fetched->path, model);
  EXPECT_TRUE(server_.gathered());
}

// What is there is done before the first byte comes, so that speed is that of what comes.
TEST_F(FetchModelTest, ProgressBeginsWithWhatIsThere) {
  FetchContext theirs = Context();
  theirs.settings.cache = shared_cache();
  theirs.settings.shared_cache.clear();
  ASSERT_TRUE(FetchModel(theirs, id_).ok());
  const fs::path blobs = shared_cache() / "models--me--model/blobs";
  const std::string last = model_.files["model-00002-of-00002.safetensors"].sha256;
  ASSERT_TRUE(RemoveAll(blobs / last).ok());

  // Of the last shard some chunks came.
  std::stop_source stop;
  FetchContext stopped = Context();
  stopped.rules.connections = 1;
  stopped.stop = stop.get_token();
  std::vector<FetchProgress> progress;
  stopped.on_progress = [&](const FetchProgress& one) {
    progress.push_back(one);
    if (one.done_bytes >= progress.front().done_bytes + 3 * kChunkBytes) stop.request_stop();
  };
  EXPECT_EQ(ErrorOf(FetchModel(stopped, id_).status()), Error::kCancelled);
  ASSERT_FALSE(progress.empty());
  EXPECT_EQ(progress.front().done_bytes, progress.front().total_bytes - kWeightBytes);
  EXPECT_FALSE(progress.front().is_fetching);

  progress.clear();
  FetchContext context = Context();
  context.on_progress = [&](const FetchProgress& one) { progress.push_back(one); };
  const FetchedModel fetched = Fetch(context);
  ASSERT_FALSE(progress.empty());
  const uint64_t there_bytes = progress.front().done_bytes;
  EXPECT_GE(there_bytes, fetched.size_bytes - kWeightBytes + 2 * kChunkBytes);
  EXPECT_EQ(fetched.fetched_bytes, fetched.size_bytes - there_bytes);
  for (size_t i = 1; i < progress.size(); ++i) {
    EXPECT_GE(progress[i].done_bytes, progress[i - 1].done_bytes);
    EXPECT_LE(progress[i].done_bytes - progress[i - 1].done_bytes, kChunkBytes);
    EXPECT_EQ(progress[i].total_bytes, fetched.size_bytes);
  }
  EXPECT_EQ(progress.back().done_bytes, fetched.size_bytes);
}

TEST_F(FetchModelTest, AWaitThatTheHubAsksForIsTold) {
  std::vector<std::string> messages;
  FetchContext context = Context();
  context.rules.connections = 1;
  context.on_message = [&](std::string_view text) { messages.emplace_back(text); };
  server_.Fail({.kind = HubFaultKind::kTooManyRequests, .port = HubPort::kHub});
  server_.Fail({.kind = HubFaultKind::kTooManyRequests, .skip = 3});
  Fetch(context);
  EXPECT_THAT(messages, ::testing::ElementsAre("The Hub asks to wait 7 s (429)",
                                               "The Hub asks to wait 7 s (429)"));
}

// Servers of one CDN that name the same bytes differently.
TEST_F(FetchModelTest, AnotherEtagThrowsNothingAway) {
  FetchContext context = Context();
  uint64_t most = 0;
  context.on_progress = [&](const FetchProgress& progress) {
    EXPECT_GE(progress.done_bytes, most);
    most = progress.done_bytes;
  };
  server_.Fail({.kind = HubFaultKind::kAnotherEtag, .times = 5, .skip = 4});
  Fetch(context);
  EXPECT_TRUE(waiter_.waits().empty());
}

// Where the Hub redirects to may change: the name that one origin gave is not sent to another.
TEST_F(FetchModelTest, AnEtagGoesToItsOriginOnly) {
  FetchContext context = Context();
  context.rules.connections = 1;
  server_.Fail({.kind = HubFaultKind::kExpired, .times = 1, .skip = 3});
  Fetch(context);
  bool sent = false;
  for (const HubRequest& request : server_.requests()) {
    const bool has = request.headers.contains("if-range");
    sent |= has;
    EXPECT_TRUE(!has || request.port == HubPort::kCdn) << request.path;
  }
  EXPECT_TRUE(sent);
}

TEST_F(FetchModelTest, AServerWithoutRanges) {
  server_.Fail({.kind = HubFaultKind::kNoRanges, .times = 1'000'000});
  Fetch(Context());
}

TEST_F(FetchModelTest, ACutChunkGoesOnWhereItWas) {
  FetchContext context = Context();
  context.rules.connections = 1;
  server_.Fail({.kind = HubFaultKind::kCloseInBody, .at_byte = 5000});
  Fetch(context);
  bool went_on = false;
  for (const HubRequest& request : server_.requests()) {
    went_on = went_on || (request.range && request.range->first == 5000);
  }
  EXPECT_TRUE(went_on);
}

// The last byte came, and not the end of the transfer.
TEST_F(FetchModelTest, AChunkThatIsInIsNotAskedForAgain) {
  const std::string bytes = Weights(4);
  testing::HubRepository model{.name = "me/model"};
  model.AddFile("model.safetensors", bytes);
  server_.Add(model);
  std::vector<uint64_t> asked;
  server_.Override([&asked, bytes](const HubRequest& request) -> std::optional<std::string> {
    if (request.port != HubPort::kCdn || !request.range) return std::nullopt;
    const auto& [begin, end] = *request.range;
    asked.push_back(begin);
    return absl::StrCat("HTTP/1.1 206 Partial Content\r\nTransfer-Encoding: chunked\r\n",
                        "Content-Range: bytes ", begin, "-", end - 1, "/", bytes.size(), "\r\n\r\n",
                        absl::Hex(end - begin), "\r\n", bytes.substr(begin, end - begin));
  });
  FetchContext context = Context();
  context.rules.connections = 1;
  const auto fetched = FetchModel(context, id_);
  ASSERT_TRUE(fetched.ok()) << fetched.status();
  ExpectWhole(fetched->path, model);
  server_.Override(nullptr);  // nobody is at `asked` any more
  std::vector<uint64_t> once;
  for (uint64_t at = 0; at < bytes.size(); at += kChunkBytes) once.push_back(at);
  EXPECT_EQ(asked, once);
}

// A file of less than a chunk is as dear as a part of a larger one.
TEST_F(FetchModelTest, ASmallFileGoesOnWhereItWas) {
  testing::HubRepository model{.name = "me/model"};
  model.AddFile("model.safetensors", Weights(5).substr(0, kChunkBytes));
  server_.Add(model);
  const uint64_t part_bytes = Context().rules.part_bytes();
  ASSERT_LT(part_bytes, kChunkBytes);
  std::stop_source stop;
  FetchContext stopped = Context();
  stopped.stop = stop.get_token();
  stopped.on_progress = [&](const FetchProgress& progress) {
    if (progress.done_bytes >= part_bytes) stop.request_stop();
  };
  server_.Fail({.kind = HubFaultKind::kStall, .at_byte = part_bytes + 5000});
  EXPECT_EQ(ErrorOf(FetchModel(stopped, id_).status()), Error::kCancelled);
  server_.ForgetRequests();
  const auto fetched = FetchModel(Context(), id_);
  ASSERT_TRUE(fetched.ok()) << fetched.status();
  ExpectWhole(fetched->path, model);
  const std::vector<HubRequest> requests = server_.requests();
  EXPECT_EQ(requests.back().range->first, part_bytes);
}

// A fault that does not pass ends in an error that names the file, and nothing under a final name.
TEST_F(FetchModelTest, WhatStaysWrongIsRefused) {
  const struct {
    HubFaultKind kind;
    Error error;
    std::string message;
  } cases[] = {
      {HubFaultKind::kFlipByte, Error::kValidationFailed, "expected "},
      {HubFaultKind::kAnotherFile, Error::kValidationFailed, "the hash"},
      {HubFaultKind::kServerError, Error::kIo, "status 503"},
      {HubFaultKind::kCloseBeforeHeaders, Error::kIo, "attempts"},
      {HubFaultKind::kExpired, Error::kIo, "status 403"},
  };
  for (const auto& [kind, error, message] : cases) {
    SCOPED_TRACE(static_cast<int>(kind));
    ASSERT_TRUE(RemoveAll(cache()).ok());
    testing::HubServer server;
    server.Add(model_);
    const std::string hash = model_.files["model-00001-of-00002.safetensors"].sha256;
    server.Fail({.kind = kind, .path_part = hash, .times = 1'000'000, .at_byte = 70'000});
    FetchContext context = Context();
    context.settings.endpoint = server.endpoint();
    const auto fetched = FetchModel(context, id_);
    ASSERT_FALSE(fetched.ok());
    EXPECT_EQ(ErrorOf(fetched.status()), error) << fetched.status();
    EXPECT_THAT(MessageOf(fetched.status()), HasSubstr("model-00001-of-00002.safetensors"));
    EXPECT_THAT(MessageOf(fetched.status()), HasSubstr(message));
    EXPECT_THAT(MessageOf(fetched.status()), Not(HasSubstr("very-secret-signature")));
    EXPECT_FALSE(fs::exists(cache() / "models--me--model/blobs" / hash));
    EXPECT_FALSE(fs::exists(cache() / "models--me--model/refs/main"));
  }
}

// The Hub answers as for a model that there is not; that it was once seen tells.
TEST_F(FetchModelTest, AModelThatBecamePrivate) {
  testing::HubRepository hidden = model_;
  hidden.is_private = true;
  const auto refusal = [&] { return FetchModel(Context(), id_).status(); };

  server_.Add(hidden);
  EXPECT_EQ(ErrorOf(refusal()), Error::kModelNotFound);

  // A job's commit was seen when it was pinned.
  const auto pinned = FetchPinnedModel(Context(), id_, model_.Commit());
  EXPECT_EQ(ErrorOf(pinned.status()), Error::kAuthenticationRequired) << pinned.status();
  EXPECT_THAT(SuggestionOf(pinned.status()), Not(HasSubstr("HF_HUB_OFFLINE")));

  server_.Add(model_);
  const FetchedModel fetched = Fetch(Context());
  server_.Add(hidden);
  EXPECT_EQ(ErrorOf(refusal()), Error::kAuthenticationRequired) << refusal();
  EXPECT_THAT(SuggestionOf(refusal()), HasSubstr("/me/model, or set HF_HUB_OFFLINE=1 to take"));
  FetchContext offline = Context();
  offline.settings.offline = true;
  EXPECT_EQ(Fetch(offline).path, fetched.path);

  // The other cache tells, too.
  fs::create_directories(shared_cache().parent_path());
  fs::rename(cache(), shared_cache());
  EXPECT_EQ(ErrorOf(refusal()), Error::kAuthenticationRequired) << refusal();
}

TEST_F(FetchModelTest, AModelThatBecomesPrivateOnTheWay) {
  FetchContext context = Context();
  context.rules.connections = 1;
  context.on_progress = [&](const FetchProgress& progress) {
    if (progress.done_bytes < 3 * kChunkBytes || model_.is_private) return;
    model_.is_private = true;
    server_.Add(model_);
  };
  server_.Fail({.kind = HubFaultKind::kExpired, .skip = 6});
  const absl::Status refused = FetchModel(context, id_).status();
  EXPECT_EQ(ErrorOf(refused), Error::kAuthenticationRequired) << refused;
  EXPECT_THAT(MessageOf(refused), HasSubstr("does not show model 'me/model'"));
}

TEST_F(FetchModelTest, OfflineTakesWhatTheCacheHolds) {
  FetchContext offline = Context();
  offline.settings.offline = true;
  EXPECT_EQ(ErrorOf(FetchModel(offline, id_).status()), Error::kModelNotFound);
  const FetchedModel online = Fetch(Context());
  server_.ForgetRequests();
  EXPECT_EQ(Fetch(offline).path, online.path);

  // The list of files missing, the index still tells.
  ASSERT_TRUE(RemoveAll(cache() / "models--me--model/trees").ok());
  Fetch(offline);
  fs::remove(online.path / "model-00002-of-00002.safetensors");
  EXPECT_THAT(MessageOf(FetchModel(offline, id_).status()),
              HasSubstr("model-00002-of-00002.safetensors"));
  fs::remove(online.path / "model.safetensors.index.json");
  fs::remove(online.path / "model-00001-of-00002.safetensors");
  EXPECT_EQ(ErrorOf(FetchModel(offline, id_).status()), Error::kModelNotFound);
  EXPECT_THAT(server_.requests(), IsEmpty());
}

TEST_F(FetchModelTest, OfflineNamesWhatIsMissing) {
  const FetchedModel online = Fetch(Context());
  fs::remove(online.path / "model-00002-of-00002.safetensors");
  FetchContext offline = Context();
  offline.settings.offline = true;
  EXPECT_THAT(
      MessageOf(FetchModel(offline, id_).status()),
      HasSubstr("as a whole: missing model-00002-of-00002.safetensors, and HF_HUB_OFFLINE"));
}

TEST_F(FetchModelTest, ACopyDoesWhereTheHubCannotBeReached) {
  FetchContext alone = Context();
  alone.settings.endpoint = "http://127.0.0.1:9";
  EXPECT_EQ(ErrorOf(FetchModel(alone, id_).status()), Error::kIo);
  const FetchedModel online = Fetch(Context());
  for (const std::string endpoint : {"http://127.0.0.1:9", "http://nothere.invalid"}) {
    alone.settings.endpoint = endpoint;
    const size_t waits = waiter_.waits().size();
    std::string message;
    alone.on_message = [&](std::string_view text) { message = text; };
    EXPECT_EQ(Fetch(alone).path, online.path);
    EXPECT_EQ(waiter_.waits().size(), waits + 1);
    EXPECT_THAT(message, HasSubstr("is taken from the cache, commit " + online.commit));
  }
  // A refusal is an answer.
  testing::HubRepository gone = model_;
  gone.is_private = true;
  server_.Add(gone);
  EXPECT_EQ(ErrorOf(FetchModel(Context(), id_).status()), Error::kAuthenticationRequired);
}

TEST_F(FetchModelTest, TheOtherCacheIsUsed) {
  FetchContext theirs = Context();
  theirs.settings.cache = shared_cache();
  theirs.settings.shared_cache.clear();
  ASSERT_TRUE(FetchModel(theirs, id_).ok());
  server_.ForgetRequests();
  EXPECT_EQ(Fetch(Context()).fetched_bytes, 0u);
  EXPECT_EQ(server_.requests().size(), 1u);

  // Offline, too, and by what the links of the snapshot tell where there is no list of its files.
  const fs::path snapshot = shared_cache() / "models--me--model/snapshots" / model_.Commit();
  const auto time = fs::last_write_time(snapshot);
  server_.ForgetRequests();
  for (const bool with_tree : {true, false}) {
    ASSERT_TRUE(RemoveAll(cache()).ok());
    if (!with_tree) {
      ASSERT_TRUE(RemoveAll(shared_cache() / "models--me--model/trees").ok());
    }
    FetchContext offline = Context();
    offline.settings.offline = true;
    EXPECT_EQ(Fetch(offline).path, cache() / "models--me--model/snapshots" / model_.Commit());
    EXPECT_EQ(Contents(cache() / "models--me--model/refs/main"), model_.Commit());
    EXPECT_EQ(fs::exists(cache() / "models--me--model/trees"), with_tree);
    EXPECT_TRUE(FetchModel(offline, id_).ok());
  }
  EXPECT_EQ(fs::last_write_time(snapshot), time);
  EXPECT_THAT(server_.requests(), IsEmpty());
}

// Whatever keeps the Hub from being asked, nothing wrong is used.
TEST_F(FetchModelTest, ABlobOfTheOtherCacheThatIsWrongIsAnErrorOffline) {
  FetchContext theirs = Context();
  theirs.settings.cache = shared_cache();
  theirs.settings.shared_cache.clear();
  ASSERT_TRUE(FetchModel(theirs, id_).ok());
  FetchContext offline = Context(), alone = Context();
  offline.settings.offline = true;
  alone.settings.endpoint = "http://127.0.0.1:9";
  for (const std::string name : {"model-00001-of-00002.safetensors", "tokenizer.json"}) {
    const std::string right = model_.files[name].bytes;
    const fs::path blob = shared_cache() / "models--me--model/blobs" / model_.files[name].hash();
    std::fstream(blob, std::ios::in | std::ios::out).write("w", 1);
    const absl::StatusOr<FetchedModel> taken[] = {FetchModel(offline, id_),
                                                  FetchPinnedModel(offline, id_, model_.Commit()),
                                                  FetchModel(alone, id_)};
    for (const auto& fetched : taken) {
      EXPECT_EQ(ErrorOf(fetched.status()), Error::kValidationFailed) << fetched.status();
      EXPECT_THAT(MessageOf(fetched.status()), HasSubstr("file '" + name + "' of model"));
      EXPECT_THAT(MessageOf(fetched.status()), HasSubstr(model_.files[name].hash()));
    }
    EXPECT_FALSE(fs::exists(cache() / "models--me--model/refs/main"));
    std::fstream(blob, std::ios::in | std::ios::out).write(right.data(), 1);
    ASSERT_TRUE(RemoveAll(cache()).ok());
  }
  Fetch(offline);
}

// What came before the damage was found does not pass for the model.
TEST_F(FetchModelTest, APartOfTheOtherCachesModelIsNotTheModel) {
  testing::HubRepository model{.name = "me/model"};
  model.AddFile("config.json", "{}");
  model.AddFile("tokenizer.json", "{\"a\":1}");
  model.AddFile("model.safetensors", Weights(3));
  server_.Add(model);
  FetchContext offline = Context();
  offline.settings.offline = true;
  for (const bool with_tree : {true, false}) {
    FetchContext theirs = Context();
    theirs.settings.cache = shared_cache();
    theirs.settings.shared_cache.clear();
    ASSERT_TRUE(FetchModel(theirs, id_).ok());
    if (!with_tree) {
      ASSERT_TRUE(RemoveAll(shared_cache() / "models--me--model/trees").ok());
    }
    const std::string hash = model.files["tokenizer.json"].hash();
    std::ofstream(shared_cache() / "models--me--model/blobs" / hash) << "damaged";
    for (int time = 0; time < 2; ++time) {
      const auto taken = FetchPinnedModel(offline, id_, model.Commit());
      EXPECT_EQ(ErrorOf(taken.status()), Error::kValidationFailed) << taken.status();
    }
    ASSERT_TRUE(RemoveAll(cache()).ok());
    ASSERT_TRUE(RemoveAll(shared_cache()).ok());
  }
}

// Where links cannot be made huggingface_hub keeps the file itself in the snapshot.
TEST_F(FetchModelTest, AFileOfTheOtherCacheThatIsNoLink) {
  FetchContext theirs = Context();
  theirs.settings.cache = shared_cache();
  theirs.settings.shared_cache.clear();
  const auto fetched = FetchModel(theirs, id_);
  ASSERT_TRUE(fetched.ok()) << fetched.status();
  const fs::path file = fetched->path / "config.json";
  const fs::path blob = fs::canonical(file);
  fs::remove(file);
  fs::rename(blob, file);
  FetchContext offline = Context();
  offline.settings.offline = true;
  Fetch(offline);

  // The list of the model's files is what tells its hash.
  ASSERT_TRUE(RemoveAll(cache()).ok());
  ASSERT_TRUE(RemoveAll(shared_cache() / "models--me--model/trees").ok());
  const auto taken = FetchModel(offline, id_);
  EXPECT_EQ(ErrorOf(taken.status()), Error::kValidationFailed) << taken.status();
  EXPECT_THAT(MessageOf(taken.status()), HasSubstr("'config.json'"));
}

TEST_F(FetchModelTest, ABlobOfTheOtherCacheThatIsWrongIsNot) {
  FetchContext theirs = Context();
  theirs.settings.cache = shared_cache();
  theirs.settings.shared_cache.clear();
  ASSERT_TRUE(FetchModel(theirs, id_).ok());
  const std::string hash = model_.files["model-00001-of-00002.safetensors"].sha256;
  const fs::path blob = shared_cache() / "models--me--model/blobs" / hash;
  std::fstream(blob, std::ios::in | std::ios::out).write("wrong", 5);
  std::string message;
  FetchContext context = Context();
  context.on_message = [&](std::string_view text) { message = text; };
  EXPECT_EQ(Fetch(context).fetched_bytes, kWeightBytes);
  EXPECT_THAT(message, HasSubstr(hash));
}

TEST_F(FetchModelTest, AFullDiskShowsBeforeAnythingIsFetched) {
  server_.Override([&](const HubRequest& request) -> std::optional<std::string> {
    if (!request.path.starts_with("/api/")) return std::nullopt;
    const std::string body = absl::StrCat(
        R"({"sha":")", model_.Commit(),
        R"(","siblings":[{"rfilename":"model.safetensors","size":1000000000000000,"blobId":")",
        model_.Commit(), R"("}]})");
    return absl::StrCat("HTTP/1.1 200 OK\r\nContent-Length: ", body.size(), "\r\n\r\n", body);
  });
  const auto fetched = FetchModel(Context(), id_);
  EXPECT_EQ(ErrorOf(fetched.status()), Error::kDiskFull) << fetched.status();
  EXPECT_THAT(MessageOf(fetched.status()), HasSubstr("needs 1000000000000000 bytes"));
  EXPECT_EQ(server_.requests().size(), 1u);
}

// The Hub's sizes are not what comes.
TEST_F(FetchModelTest, WrongSizes) {
  for (const int wrong : {-1, 1}) {
    ASSERT_TRUE(RemoveAll(cache()).ok());
    const testing::HubFile& file = model_.files["model-00001-of-00002.safetensors"];
    const std::string body =
        absl::StrCat(R"({"sha":")", model_.Commit(),
                     R"(","siblings":[{"rfilename":"model-00001-of-00002.safetensors","blobId":")",
                     file.blob_id, R"(","size":1,"lfs":{"sha256":")", file.sha256, R"(","size":)",
                     kWeightBytes + wrong, "}}]}");
    server_.Override([body](const HubRequest& request) -> std::optional<std::string> {
      if (!request.path.starts_with("/api/")) return std::nullopt;
      return absl::StrCat("HTTP/1.1 200 OK\r\nContent-Length: ", body.size(), "\r\n\r\n", body);
    });
    const auto fetched = FetchModel(Context(), id_);
    EXPECT_EQ(ErrorOf(fetched.status()), Error::kValidationFailed) << fetched.status();
  }
}

TEST_F(FetchModelTest, WhatCameIsSynced) {
  std::stop_source stop;
  FetchContext context = Context();
  context.rules.connections = 1;
  context.rules.sync_bytes = 2 * kChunkBytes;
  context.rules.sync_interval = std::chrono::seconds(0);
  context.stop = stop.get_token();
  context.on_progress = [&](const FetchProgress& progress) {
    if (progress.done_bytes > 6 * kChunkBytes) stop.request_stop();
  };
  EXPECT_EQ(ErrorOf(FetchModel(context, id_).status()), Error::kCancelled);
  const std::string hash = model_.files["model-00001-of-00002.safetensors"].sha256;
  const std::string journal =
      Contents(cache() / "models--me--model/blobs" / (hash + ".chunks.journal"));
  EXPECT_THAT(journal, HasSubstr("chunk 1\nsynced 2\nchunk 2\nchunk 3\nsynced 4\n"));
}

TEST_F(FetchModelTest, AStopIsCancelled) {
  std::stop_source stop;
  FetchContext context = Context();
  context.stop = stop.get_token();
  context.on_progress = [&](const FetchProgress& progress) {
    if (progress.done_bytes > kChunkBytes) stop.request_stop();
  };
  EXPECT_EQ(ErrorOf(FetchModel(context, id_).status()), Error::kCancelled);
  server_.ForgetRequests();
  Fetch(Context());  // goes on
}

}  // namespace
}  // namespace quantized
