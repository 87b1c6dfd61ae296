#include "daemon/queue/several_outputs.h"

#include <google/protobuf/unknown_field_set.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "quantized/v1/job.pb.h"

namespace quantized {
namespace {

using google::protobuf::UnknownField;
using google::protobuf::UnknownFieldSet;

constexpr int kOldLevels = 4;
constexpr int kOldOutputPath = 5;
constexpr int kOldQuantizeResult = 1;

// The bytes of the field `number`, the last one if there are several; null where there is none.
const std::string* OldField(const UnknownFieldSet& fields, int number) {
  const std::string* found = nullptr;
  for (int i = 0; i < fields.field_count(); ++i) {
    const UnknownField& field = fields.field(i);
    if (field.number() == number && field.type() == UnknownField::TYPE_LENGTH_DELIMITED) {
      found = &field.length_delimited();
    }
  }
  return found;
}

template <typename M>
UnknownFieldSet& UnknownFieldsOf(M& message) {
  return *M::GetReflection()->MutableUnknownFields(&message);
}

bool Convert(v1::JobSpec& spec) {
  if (!spec.has_quantize()) return true;
  v1::QuantizeSpec& quantize = *spec.mutable_quantize();
  UnknownFieldSet& old = UnknownFieldsOf(quantize);
  const std::string* level = OldField(old, kOldLevels);
  const std::string* path = OldField(old, kOldOutputPath);
  if (level == nullptr || path == nullptr) return false;
  v1::OutputSpec& output = *quantize.add_outputs();
  output.set_level(*level);
  output.set_path(*path);
  old.DeleteByNumber(kOldLevels);
  old.DeleteByNumber(kOldOutputPath);
  return true;
}

bool Convert(v1::JobResult& result) {
  UnknownFieldSet& old = UnknownFieldsOf(result);
  const std::string* quantize = OldField(old, kOldQuantizeResult);
  if (quantize == nullptr) return true;  // that of a job that does nothing
  const bool parsed = result.mutable_quantize()->add_outputs()->ParseFromString(*quantize);
  old.DeleteByNumber(kOldQuantizeResult);
  return parsed;
}

bool Convert(v1::JobEvent& event) {
  return !event.finished().has_result() || Convert(*event.mutable_finished()->mutable_result());
}

// Converts the message M in the second column of `select`, whose first is a row's id, and hands
// both to `update`.
template <typename M>
absl::Status ConvertColumn(Database& db, const char* select, const char* update) {
  ASSIGN_OR_RETURN(Statement rows, db.Prepare(select));
  ASSIGN_OR_RETURN(Statement change, db.Prepare(update));
  while (true) {
    ASSIGN_OR_RETURN(const bool row, rows.Step());
    if (!row) return absl::OkStatus();
    const int64_t id = rows.Int(0);
    M message;
    const std::string_view bytes = rows.Bytes(1);
    if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
        !Convert(message)) {
      return MakeError(Error::kIo, absl::StrCat("store is damaged: a message of job row ", id,
                                                " cannot be read"));
    }
    const std::string converted = message.SerializeAsString();
    change.Bind(id, Blob{converted});
    RETURN_IF_ERROR(change.Run());
  }
}

}  // namespace

absl::Status ConvertToSeveralOutputs(Database& db) {
  RETURN_IF_ERROR(ConvertColumn<v1::JobSpec>(db, "SELECT id, spec FROM jobs",
                                             "UPDATE jobs SET spec = ?2 WHERE id = ?1"));
  RETURN_IF_ERROR(
      ConvertColumn<v1::JobResult>(db, "SELECT id, result FROM jobs WHERE result IS NOT NULL",
                                   "UPDATE jobs SET result = ?2 WHERE id = ?1"));
  // Finished is the last event of a job that has ended.
  return ConvertColumn<v1::JobEvent>(
      db,
      "SELECT id, body FROM jobs JOIN events ON job = id AND sequence = last_sequence "
      "WHERE ended_us IS NOT NULL",
      "UPDATE events SET body = ?2 WHERE job = ?1 AND "
      "sequence = (SELECT last_sequence FROM jobs WHERE id = ?1)");
}

}  // namespace quantized
