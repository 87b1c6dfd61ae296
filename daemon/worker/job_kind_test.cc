#include "daemon/worker/job_kind.h"

#include <set>

#include "core/base/error.h"
#include "gtest/gtest.h"

namespace quantized {
namespace {

TEST(JobKindsTest, EveryOperationOfAJobHasOneRow) {
  const auto* oneof = v1::JobSpec::descriptor()->FindOneofByName("operation");
  ASSERT_NE(oneof, nullptr);
  EXPECT_EQ(static_cast<size_t>(oneof->field_count()), AllJobKinds().size());
  for (int i = 0; i < oneof->field_count(); ++i) {
    const auto operation = static_cast<v1::JobSpec::OperationCase>(oneof->field(i)->number());
    const JobKind* kind = FindJobKind(operation);
    ASSERT_NE(kind, nullptr) << oneof->field(i)->name();
    EXPECT_EQ(kind->name, oneof->field(i)->name());
  }
  EXPECT_EQ(FindJobKind(v1::JobSpec::OPERATION_NOT_SET), nullptr);
}

}  // namespace
}  // namespace quantized
