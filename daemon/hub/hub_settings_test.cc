#include "daemon/hub/hub_settings.h"

#include <fstream>

#include "core/base/error.h"
#include "daemon/hub/hub_test.h"

namespace quantized {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

HubSettings Read(const Environment& environment) {
  const auto settings = ReadHubSettings(environment);
  EXPECT_TRUE(settings.ok()) << settings.status();
  return settings.ok() ? *settings : HubSettings{};
}

TEST(HubSettingsTest, Defaults) {
  const HubSettings settings = Read({{"HOME", "/home/me"}});
  EXPECT_EQ(settings.endpoint, "https://huggingface.co");
  EXPECT_EQ(settings.token, "");
  EXPECT_FALSE(settings.offline);
  EXPECT_EQ(settings.cache, "/home/me/.cache/llm-quantize/hub");
  EXPECT_EQ(settings.shared_cache, "/home/me/.cache/huggingface/hub");
}

TEST(HubSettingsTest, Variables) {
  const HubSettings settings = Read({{"HOME", "/home/me"},
                                     {"HF_ENDPOINT", "http://mirror:8080/hf/"},
                                     {"HF_TOKEN", " hf_abc\n"},
                                     {"HF_HUB_OFFLINE", "True"},
                                     {"LLM_QUANTIZE_CACHE", "~/models"},
                                     {"HF_HOME", "/data/hf"}});
  EXPECT_EQ(settings.endpoint, "http://mirror:8080/hf");
  EXPECT_EQ(settings.token, "hf_abc");
  EXPECT_TRUE(settings.offline);
  EXPECT_EQ(settings.cache, "/home/me/models/hub");
  EXPECT_EQ(settings.shared_cache, "/data/hf/hub");
  EXPECT_EQ(Read({{"HOME", "/h"}, {"HF_HUB_CACHE", "/x"}, {"HF_HOME", "/y"}}).shared_cache, "/x");
  EXPECT_EQ(Read({{"HOME", "/h"}, {"XDG_CACHE_HOME", "/c"}}).shared_cache, "/c/huggingface/hub");
}

// As huggingface_hub reads them.
TEST(HubSettingsTest, OlderNames) {
  const Environment older = {{"HOME", "/h"},
                             {"HUGGING_FACE_HUB_TOKEN", "hf_older"},
                             {"HUGGINGFACE_HUB_CACHE", "/older"},
                             {"TRANSFORMERS_OFFLINE", "1"}};
  EXPECT_EQ(Read(older).token, "hf_older");
  EXPECT_EQ(Read(older).shared_cache, "/older");
  EXPECT_TRUE(Read(older).offline);
  Environment both = older;
  both.merge(
      Environment{{"HF_TOKEN", "hf_new"}, {"HF_HUB_CACHE", "/new"}, {"HF_HUB_OFFLINE", "0"}});
  EXPECT_EQ(Read(both).token, "hf_new");
  EXPECT_EQ(Read(both).shared_cache, "/new");
  EXPECT_FALSE(Read(both).offline);
}

TEST(HubSettingsTest, FoldersThatNameVariables) {
  const struct {
    std::string value, folder;
  } cases[] = {{"~/x", "/h/x"},          {"$DISK/x", "/disk/x"},
               {"${DISK}/x", "/disk/x"}, {"/a/$DISK_/x", "/a/$DISK_/x"},
               {"/a/$", "/a/$"},         {"/a/${DISK", "/a/${DISK"},
               {"/a/${}x", "/a/${}x"},   {"~/$NAME$NAME", "/h/nn"}};
  for (const auto& [value, folder] : cases) {
    const Environment base = {{"HOME", "/h"}, {"DISK", "/disk"}, {"NAME", "n"}};
    for (const std::string variable : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME"}) {
      Environment environment = base;
      environment[variable] = value;
      EXPECT_EQ(Read(environment).shared_cache, variable == "HF_HOME" ? folder + "/hub" : folder)
          << variable << " " << value;
    }
  }
}

TEST(HubSettingsTest, TheTokenOfAFile) {
  const testing::TempDir folder;
  std::ofstream(folder.path() / "token") << "hf_file\n";
  std::ofstream(folder.path() / "other") << "hf_other\n";
  const std::string home = folder.path();
  EXPECT_EQ(Read({{"HOME", "/h"}, {"HF_HOME", home}}).token, "hf_file");
  EXPECT_EQ(Read({{"HOME", "/h"}, {"HF_HOME", home}, {"HF_TOKEN_PATH", home + "/other"}}).token,
            "hf_other");
  EXPECT_EQ(Read({{"HOME", "/h"}, {"HF_HOME", home}, {"HF_TOKEN", "hf_variable"}}).token,
            "hf_variable");
  EXPECT_EQ(ReadHubSettings({{"HOME", "/h"}, {"HF_TOKEN", "hf_variable"}}, "hf_given\n")->token,
            "hf_given");
}

TEST(HubSettingsTest, Certificates) {
  const testing::TempDir folder;
  const std::string file = folder.path() / "ca.pem";
  std::ofstream(file) << "a certificate";
  EXPECT_EQ(Read({{"HOME", "/h"}}).certificates, "");
  for (const std::string variable :
       {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"}) {
    EXPECT_EQ(Read({{"HOME", "/h"}, {variable, file}}).certificates, file);
    const auto missing = ReadHubSettings({{"HOME", "/h"}, {variable, "/no/ca.pem"}});
    ASSERT_FALSE(missing.ok());
    EXPECT_EQ(ErrorOf(missing.status()), Error::kInvalidArgument);
    EXPECT_THAT(MessageOf(missing.status()), HasSubstr(variable + " is '/no/ca.pem'"));
  }
  EXPECT_EQ(
      Read({{"HOME", "/h"}, {"SSL_CERT_DIR", folder.path()}, {"SSL_CERT_FILE", file}}).certificates,
      file);
}

TEST(HubSettingsTest, SeveralFoldersOfCertificates) {
  const testing::TempDir one, two;
  const std::string list = one.path().string() + ":/no/such:" + two.path().string();
  EXPECT_EQ(Read({{"HOME", "/h"}, {"SSL_CERT_DIR", list}}).certificates,
            one.path().string() + ":" + two.path().string());
  EXPECT_FALSE(ReadHubSettings({{"HOME", "/h"}, {"SSL_CERT_DIR", "/no/a:/no/b"}}).ok());
}

// Who looks after the cache needs neither token nor certificates.
TEST(HubSettingsTest, ForTheCacheAlone) {
  const auto settings = ReadCacheSettings({{"HOME", "/h"},
                                           {"HF_TOKEN", "hf a"},
                                           {"HF_ENDPOINT", "file:///etc"},
                                           {"SSL_CERT_FILE", "/no/ca.pem"}});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->cache, "/h/.cache/llm-quantize/hub");
  EXPECT_FALSE(ReadCacheSettings({}).ok());
}

TEST(HubSettingsTest, WhatIsRefused) {
  for (const Environment& environment :
       {Environment{{"HOME", "/h"}, {"HF_TOKEN", "hf_secret\r\nX-Evil: 1"}},
        Environment{{"HOME", "/h"}, {"HF_ENDPOINT", "file:///etc"}},
        Environment{{"HOME", "/h"}, {"HF_ENDPOINT", "https://me:hf_secret@hub"}},
        Environment{{"HOME", "/h"}, {"HF_ENDPOINT", "https://hub?x=hf_secret"}}, Environment{}}) {
    const auto settings = ReadHubSettings(environment);
    ASSERT_FALSE(settings.ok());
    EXPECT_EQ(ErrorOf(settings.status()), Error::kInvalidArgument);
    EXPECT_THAT(MessageOf(settings.status()), Not(HasSubstr("hf_secret")));
  }
}

}  // namespace
}  // namespace quantized
