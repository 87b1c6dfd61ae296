#include "daemon/hub/hub_api.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "daemon/hub/hub_cache.h"
#include "daemon/hub/hub_test.h"
#include "tests/support/sandbox.h"

namespace quantized {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kCommit = "607a30d783dfa663caf39e06633721c8d4cfcd7e";

std::string Info(std::string_view siblings) {
  return absl::StrCat(R"({"sha":")", std::string(kCommit), R"(","siblings":)",
                      std::string(siblings), "}");
}

std::string Entry(std::string_view path) {
  return absl::StrCat(R"([{"rfilename":")", std::string(path),
                      R"(","size":1,"blobId":"607a30d783dfa663caf39e06633721c8d4cfcd7e"}])");
}

class HubApiTest : public HubTest {
 protected:
  absl::StatusOr<RepositoryInfo> Fetch(const std::string& name, const std::string& token = "",
                                       Existence existence = Existence::kUnknown) {
    HttpClient client({.endpoint = server_.endpoint(), .token = token}, {});
    return FetchRepositoryInfo(client, *ParseHubId(name), existence, Retries({}, waiter_));
  }
};

TEST_F(HubApiTest, TellsFilesAndHashes) {
  const testing::HubRepository model = Model("me/model");
  server_.Add(model);
  const auto info = Fetch("me/model");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->commit, model.Commit());
  ASSERT_EQ(info->files.size(), model.files.size());
  for (const RemoteFile& file : info->files) {
    EXPECT_EQ(file.hash(), model.files.at(file.path).hash());
    EXPECT_EQ(file.size_bytes, model.files.at(file.path).size_bytes);
  }
}

TEST_F(HubApiTest, WhatARefusalMeans) {
  testing::HubRepository gated = Model("me/gated"), hidden = Model("me/hidden");
  gated.gated = true;
  hidden.is_private = true;
  server_.Add(Model("me/model"));
  server_.Add(gated);
  server_.Add(hidden);
  server_.Accept("hf_good");
  server_.AcceptForPublic("hf_public");
  const struct {
    std::string name, token;
    Error error;
    std::string message, suggestion;
  } cases[] = {
      {"invalid-model", "", Error::kModelNotFound,
       "Model 'invalid-model' not found on Hugging Face Hub",
       "Check the model name or provide a local path"},
      {"invalid-model", "hf_good", Error::kModelNotFound,
       "Model 'invalid-model' not found on Hugging Face Hub",
       "Check the model name or provide a local path"},
      {"me/hidden", "", Error::kModelNotFound, "Model 'me/hidden' not found on Hugging Face Hub",
       "Check the model name or provide a local path; for a private model, set HF_TOKEN"},
      {"me/hidden", "hf_public", Error::kModelNotFound,
       "Model 'me/hidden' not found on Hugging Face Hub",
       "Check the model name or provide a local path; if it is private, the account of the token "
       "in use must have access to it: set HF_TOKEN to one that has"},
      {"me/model", "hf_bad", Error::kAuthenticationRequired,
       "Hugging Face Hub refuses the token for model 'me/model'",
       "Set HF_TOKEN to a valid token of https://huggingface.co/settings/tokens"},
      {"me/model@v9", "", Error::kModelNotFound,
       "Revision 'v9' of model 'me/model' not found on Hugging Face Hub",
       "Choose a branch, tag or commit of " + server_.endpoint() + "/me/model/tree/main"},
  };
  for (const auto& [name, token, error, message, suggestion] : cases) {
    const auto info = Fetch(name, token);
    ASSERT_FALSE(info.ok()) << name;
    EXPECT_EQ(ErrorOf(info.status()), error) << name;
    EXPECT_EQ(MessageOf(info.status()), message);
    EXPECT_EQ(SuggestionOf(info.status()), suggestion);
  }
  EXPECT_TRUE(Fetch("me/hidden", "hf_good").ok());
  for (const std::string token : {"", "hf_public"}) {
    const absl::Status hidden_now = Fetch("me/hidden", token, Existence::kSeen).status();
    EXPECT_EQ(ErrorOf(hidden_now), Error::kAuthenticationRequired);
    EXPECT_EQ(MessageOf(hidden_now),
              "Hugging Face Hub does not show model 'me/hidden', which it once did: it is private, "
              "or was removed");
    EXPECT_EQ(SuggestionOf(hidden_now), "Set HF_TOKEN to a token of an account that may read " +
                                            server_.endpoint() + "/me/hidden");
  }
  EXPECT_EQ(ErrorOf(Fetch("me/model@v9", "", Existence::kSeen).status()), Error::kModelNotFound);
  server_.Override([](const testing::HubRequest&) -> std::optional<std::string> {
    return "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";  // no Hub's
  });
  EXPECT_EQ(ErrorOf(Fetch("me/hidden", "", Existence::kSeen).status()), Error::kModelNotFound);
  server_.Override(nullptr);

  // A gated model is described to anybody, and its files are refused.
  for (const std::string token : {"", "hf_public"}) {
    FetchContext context = Context();
    context.settings.token = token;
    const auto fetched = FetchModel(context, *ParseHubId("me/gated"));
    EXPECT_EQ(ErrorOf(fetched.status()), Error::kAuthenticationRequired) << fetched.status();
    EXPECT_THAT(MessageOf(fetched.status()), HasSubstr("Model 'me/gated' is gated"));
    EXPECT_THAT(SuggestionOf(fetched.status()), HasSubstr(server_.endpoint() + "/me/gated"));
    EXPECT_THAT(SuggestionOf(fetched.status()), HasSubstr("HF_TOKEN"));
  }
}

TEST_F(HubApiTest, FaultsPass) {
  using Kind = testing::HubFaultKind;
  server_.Add(Model("me/model"));
  for (const Kind kind : {Kind::kCloseBeforeHeaders, Kind::kCloseInHeaders, Kind::kTooManyRequests,
                          Kind::kServerError}) {
    server_.Fail({.kind = kind, .port = testing::HubPort::kHub, .path_part = "/api/", .times = 2});
    const size_t waits = waiter_.waits().size();
    const auto info = Fetch("me/model");
    EXPECT_TRUE(info.ok()) << static_cast<int>(kind) << info.status();
    EXPECT_EQ(waiter_.waits().size(), waits + 2) << static_cast<int>(kind);
    if (kind == Kind::kTooManyRequests) {
      EXPECT_EQ(waiter_.waits().back(), std::chrono::seconds(7));
    }
  }
}

TEST_F(HubApiTest, AHostileDescription) {
  std::string deep(1 << 20, '[');
  const std::string negative =
      R"([{"rfilename":"a","size":-1,"blobId":"607a30d783dfa663caf39e06633721c8d4cfcd7e"}])";
  const std::string huge =
      R"([{"rfilename":"a","size":18446744073709551615,"blobId":"607a30d783dfa663caf39e06633721c8d4cfcd7e"}])";
  for (
      const std::string& text :
      {std::string(""), std::string("[]"), std::string("{}"), std::string(R"({"sha":"main"})"),
       std::string(R"({"sha":"../../../../etc/passwd","siblings":[]})"), Info("3"), Info("[3]"),
       Info("[{}]"), Info(Entry("")), Info(deep), Info(negative), Info(huge),
       Info(R"([{"rfilename":"a","size":1,"blobId":"../../../x"}])"),
       Info(R"([{"rfilename":"a\\\u001b[31mb","size":1,"blobId":"../../../x"}])"),
       Info(
           R"([{"rfilename":"a","size":1,"blobId":"607a30d783dfa663caf39e06633721c8d4cfcd7e","lfs":{"sha256":"../x","size":1}}])"),
       Info("[" + Entry("a").substr(1, Entry("a").size() - 2) + "," + Entry("a").substr(1))}) {
    const auto info = ParseRepositoryInfo(*ParseHubId("me/model"), text);
    ASSERT_FALSE(info.ok()) << text.substr(0, 200);
    EXPECT_EQ(ErrorOf(info.status()), Error::kValidationFailed) << info.status();
    EXPECT_THAT(MessageOf(info.status()), Not(HasSubstr("\x1b")));
  }
  EXPECT_TRUE(ParseRepositoryInfo(*ParseHubId("me/model"), Info(Entry("a/b"))).ok());
  const std::string good = Entry("a/b").substr(1, Entry("a/b").size() - 2);
  for (const std::string path : {"../../x", "/etc/passwd", "a/../../b", "a/..", "./a", "a\\u0000b",
                                 "a\\u001b[31mb", "folder\\\\x.txt", "..\\\\..\\\\x", "a\\nb"}) {
    const auto info = ParseRepositoryInfo(*ParseHubId("me/model"),
                                          Info("[" + good + "," + Entry(path).substr(1)));
    ASSERT_TRUE(info.ok()) << info.status();
    ASSERT_EQ(info->files.size(), 1u) << path;
    EXPECT_EQ(info->files[0].path, "a/b");
  }
  std::string many = "[";
  for (int i = 0; i <= 100'000; ++i) many += i == 0 ? "{}" : ",{}";
  EXPECT_THAT(MessageOf(ParseRepositoryInfo(*ParseHubId("me/model"), Info(many + "]")).status()),
              HasSubstr("100001 files"));
}

// Neither inside the cache nor outside of it; the rest of the model is as good as ever.
TEST_F(HubApiTest, AFileWithoutASafePathIsNeverFetched) {
  const testing::HubRepository model = Model("me/model");
  testing::HubRepository odd = model;
  // Where a path is looked at no further, the last part makes these files a model needs.
  const std::string outside = folder_.path() / "outside/1_Pooling/config.json";
  for (const std::string& path :
       {std::string("../../../escaped/1_Pooling/config.json"), outside,
        std::string("folder\\1_Pooling/config.json"), std::string("LICENSE\\x.txt")}) {
    odd.AddFile(path, "odd");
  }
  server_.Add(odd);
  const auto fetched = FetchModel(Context(), *ParseHubId("me/model"));
  ASSERT_TRUE(fetched.ok()) << fetched.status();
  EXPECT_EQ(fetched->commit, odd.Commit());
  ExpectWhole(fetched->path, model);
  EXPECT_EQ(fetched->files, 6u);
  for (const std::string& file : testing::FilesBelow(folder_.path())) {
    EXPECT_THAT(file, Not(HasSubstr("Pooling")));
    EXPECT_THAT(file, Not(HasSubstr("x.txt")));
  }

  // A list that huggingface_hub wrote has every name.
  const HubCache hub_cache(cache());
  const std::filesystem::path tree = hub_cache.TreePath({.name = "me/model"}, odd.Commit());
  const auto read = hub_cache.ReadTree({.name = "me/model"}, odd.Commit());
  ASSERT_TRUE(read.has_value());
  std::string text = Contents(tree);
  const size_t begin = text.find("\"README.md\"");
  ASSERT_NE(begin, std::string::npos);
  text.insert(begin, R"("..\\x": {"size": 1, "blob_id": ")" + std::string(kCommit) + "\"}, ");
  std::ofstream(tree) << text;
  EXPECT_EQ(hub_cache.ReadTree({.name = "me/model"}, odd.Commit()), read);
}

TEST_F(HubApiTest, AShardWithoutASafePathIsMissed) {
  for (const std::string shard :
       {"..\\model-00002-of-00002.safetensors", "../../../x.safetensors"}) {
    testing::HubRepository model = Model("me/model");
    model.AddFile(shard, Weights(3));
    const nlohmann::json index = {{"weight_map", {{"a", shard}}}};
    model.AddFile("model.safetensors.index.json", index.dump());
    server_.Add(model);
    const auto fetched = FetchModel(Context(), *ParseHubId("me/model"));
    EXPECT_EQ(ErrorOf(fetched.status()), Error::kValidationFailed) << fetched.status();
    EXPECT_THAT(MessageOf(fetched.status()),
                HasSubstr("names 1 files that the model does not have: " + shard));
  }
}

TEST_F(HubApiTest, AnotherCommitThanWasAskedFor) {
  const std::string other(40, 'a');
  EXPECT_TRUE(
      ParseRepositoryInfo({.name = "me/model", .revision = std::string(kCommit)}, Info(Entry("a")))
          .ok());
  const auto info = ParseRepositoryInfo({.name = "me/model", .revision = other}, Info(Entry("a")));
  EXPECT_EQ(ErrorOf(info.status()), Error::kValidationFailed);
  EXPECT_THAT(MessageOf(info.status()),
              HasSubstr("commit " + std::string(kCommit) + ", expected " + other));
}

TEST_F(HubApiTest, AnEndlessDescription) {
  server_.Override([](const testing::HubRequest&) {
    std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 40000000\r\n\r\n";
    answer.resize(answer.size() + 40'000'000, ' ');
    return answer;
  });
  EXPECT_THAT(MessageOf(Fetch("me/model").status()), HasSubstr("longer than 33554432 bytes"));
}

}  // namespace
}  // namespace quantized
