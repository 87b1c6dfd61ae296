#include "client/render/cache.h"

#include <gtest/gtest.h>

namespace quantized {
namespace {

TEST(HumanCacheTest, ListsSnapshotsAndWhatIsIncomplete) {
  EXPECT_EQ(HumanCacheList(R"({"status":"success","path":"/c/hub","models":[
              {"model_name":"org/one","size_bytes":2000000000,"incomplete_bytes":0,"snapshots":[
                {"commit":"0123456789","revisions":["main","v1"],"files":6,
                 "size_bytes":1500000000,"unused_hours":1},
                {"commit":"fedcba9876","revisions":[],"files":5,
                 "size_bytes":500000000,"unused_hours":100}]},
              {"model_name":"two","size_bytes":0,"incomplete_bytes":3000,"snapshots":[]}]})"),
            "MODEL    REVISION    COMMIT   FILES  SIZE      UNUSED FOR\n"
            "org/one  main,v1     0123456  6      1.5 GB    1 hour\n"
            "org/one  -           fedcba9  5      500.0 MB  4 days\n"
            "two      incomplete  -        -      3.0 kB    -\n"
            "Cache: /c/hub (2.0 GB)\n");
  EXPECT_EQ(HumanCacheList(R"({"status":"success","path":"/c/hub","models":[]})"),
            "Cache: /c/hub (0 B)\n");
}

TEST(HumanCacheTest, TellsWhatWasVerifiedAndRemoved) {
  EXPECT_EQ(HumanCacheVerify(R"({"path":"/c","files":2,"size_bytes":1000,"removed":["/c/x"]})"),
            "Cache: /c\nVerified: 2 files, 1.0 kB\nRemoved: /c/x\n");
  EXPECT_EQ(HumanCachePrune(R"({"path":"/c","snapshots":["a/b@12"],"files":1,"freed_bytes":9})"),
            "Cache: /c\nFreed: 1 file, 9 B\nRemoved: a/b@12\n");
}

}  // namespace
}  // namespace quantized
