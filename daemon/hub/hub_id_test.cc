#include "daemon/hub/hub_id.h"

#include "core/base/error.h"
#include "daemon/hub/remote_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quantized {
namespace {

TEST(HubIdTest, Names) {
  const struct {
    std::string text, name, revision, folder;
  } cases[] = {
      {"gpt2", "gpt2", "main", "models--gpt2"},
      {"org/Name-1.5_x", "org/Name-1.5_x", "main", "models--org--Name-1.5_x"},
      {"org/name@v1.0", "org/name", "v1.0", "models--org--name"},
      {"name@refs/pr/4", "name", "refs/pr/4", "models--name"},
      {"_a/b_@607a30d783dfa663caf39e06633721c8d4cfcd7e", "_a/b_",
       "607a30d783dfa663caf39e06633721c8d4cfcd7e", "models--_a--b_"},
  };
  for (const auto& [text, name, revision, folder] : cases) {
    const auto id = ParseHubId(text);
    ASSERT_TRUE(id.ok()) << id.status();
    EXPECT_EQ(id->name, name);
    EXPECT_EQ(id->revision, revision);
    EXPECT_EQ(id->FolderName(), folder);
  }
}

TEST(HubIdTest, WhatIsNone) {
  for (const std::string& text : {std::string(""),
                                  std::string("a/b/c"),
                                  std::string("/a"),
                                  std::string("a/"),
                                  std::string(".a"),
                                  std::string("a."),
                                  std::string("-a"),
                                  std::string("a--b"),
                                  std::string("a..b"),
                                  std::string("../b"),
                                  std::string("a/.."),
                                  std::string("a b"),
                                  std::string("a/b.git"),
                                  std::string("caf\xc3\xa9"),
                                  std::string("a\n"),
                                  std::string("a\0b", 3),
                                  std::string(97, 'a'),
                                  std::string("a@"),
                                  std::string("a@b..c"),
                                  std::string("a@/b"),
                                  std::string("a@b/"),
                                  std::string("a@b//c"),
                                  std::string("a@../b"),
                                  std::string("a@b/../c"),
                                  std::string("a@.b"),
                                  std::string("a@b c"),
                                  std::string("a@b\\c"),
                                  std::string("a@b.lock"),
                                  std::string("a@b@c"),
                                  std::string("a@b?c"),
                                  "a@" + std::string(300, 'b')}) {
    const auto id = ParseHubId(text);
    ASSERT_FALSE(id.ok()) << text;
    EXPECT_EQ(ErrorOf(id.status()), Error::kModelNotFound) << text;
  }
}

TEST(RemotePathTest, StaysInItsFolder) {
  for (const std::string& path :
       {std::string("a"), std::string("a/b.c"), std::string(".gitattributes"),
        std::string("a/...b"), std::string("\xc3\xa9")}) {
    EXPECT_TRUE(IsSafeRemotePath(path)) << path;
  }
  for (const std::string& path :
       {std::string(""), std::string("/a"), std::string("a/"), std::string("a//b"),
        std::string(".."), std::string("../a"), std::string("a/../../b"), std::string("a/.."),
        std::string("./a"), std::string("a\\..\\b"), std::string("a\nb"), std::string("a\tb"),
        std::string("a\0b", 3), std::string("\x1b[31m"), std::string("\xff"), std::string(256, 'a'),
        std::string(600, '/') + "a"}) {
    EXPECT_FALSE(IsSafeRemotePath(path)) << path;
  }
}

}  // namespace
}  // namespace quantized
