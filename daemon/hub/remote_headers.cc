#include "daemon/hub/remote_headers.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/mutex.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"
#include "core/base/text.h"
#include "daemon/hub/blob_digest.h"
#include "daemon/hub/blob_queue.h"
#include "daemon/hub/gguf_header.h"
#include "daemon/hub/hub_api.h"
#include "daemon/hub/model_files.h"

namespace quantized {
namespace {

namespace fs = std::filesystem;

// docs/formats/safetensors.md: the length of the header is the first 8 bytes; 100 MB is the
// format's own limit.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr uint64_t kFirstBytes = 64 << 10;
constexpr uint64_t kMostStepBytes = 4 << 20;
// The texts that say what a model is, and what of its tokenizer is small.
constexpr std::array<std::string_view, 8> kFewTexts = {
    "chat_template.jinja",    "chat_template.json",           "config.json",
    "generation_config.json", "model.safetensors.index.json", "quant_config.json",
    "quantize_config.json",   "tokenizer_config.json"};

// Reads the beginnings of files of one commit. For one thread.
class RemoteReader {
 public:
  // All arguments must outlive *this.
  RemoteReader(const FetchContext& context, Waiter& waiter, const HubId& id,
               std::string_view commit)
      : context_(context),
        waiter_(waiter),
        id_(id),
        commit_(commit),
        client_(context.http(), context.stop) {}

  uint64_t fetched_bytes() const { return fetched_bytes_; }

  // Appends to `text` what it lacks of the first `size_bytes` of `file`. A server without ranges
  // sends the file from its start. Whatever the server sends, what is beyond is not read.
  absl::Status Extend(const RemoteFile& file, uint64_t size_bytes, std::string& text) {
    Retries retries(context_.questions, waiter_);
    while (text.size() < size_bytes) {
      const ByteRange range = {.begin = text.size(), .end = size_bytes};
      const HttpRequest request{.url = FileUrl(context_.settings.endpoint, id_, commit_, file.path),
                                .range = range};
      uint64_t skip = 0;
      bool first = true;
      const auto take = [&](const HttpResponse& response,
                            std::span<const std::byte> bytes) -> absl::Status {
        if (std::exchange(first, false)) {
          if (response.status != 206) skip = range.begin;
          RETURN_IF_ERROR(CheckRange(response, range, file));
        }
        fetched_bytes_ += bytes.size();
        const uint64_t skipped = std::min<uint64_t>(skip, bytes.size());
        skip -= skipped;
        bytes = bytes.subspan(skipped);
        const auto wanted = bytes.first(std::min<uint64_t>(bytes.size(), size_bytes - text.size()));
        text.append(reinterpret_cast<const char*>(wanted.data()), wanted.size());
        // A range that ends where it should leaves the connection for the next.
        const bool more_comes = response.status != 206 || wanted.size() < bytes.size();
        return text.size() == size_bytes && more_comes
                   ? absl::CancelledError("read as far as needed")
                   : absl::OkStatus();
      };
      const HttpResult result = client_.Get(request, take);
      if (text.size() >= size_bytes) break;
      if (text.size() > range.begin) retries.Progressed();
      RETURN_IF_ERROR(AfterFailure(result, file, retries));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status CheckRange(const HttpResponse& response, ByteRange range,
                          const RemoteFile& file) const {
    const std::string found = response.Header("content-range");
    if (response.status != 206 || IsContentRange(found, range, file.size_bytes)) {
      return absl::OkStatus();
    }
    return MakeError(
        Error::kValidationFailed,
        StrCat("file '", file.path, "' of model '", id_.name, "': the server's range is '",
               PrintableText(found), "', expected bytes ", range.begin, "-", range.end - 1, "/",
               file.size_bytes));
  }

  absl::Status AfterFailure(const HttpResult& result, const RemoteFile& file, Retries& retries) {
    const HttpResponse& response = result.response;
    absl::Status failure = result.transfer;
    bool may_retry = result.may_retry;
    if (failure.ok() && response.succeeded()) {
      failure = MakeError(Error::kIo, StrCat("file '", file.path, "' of model '", id_.name,
                                             "': the response ended early"));
      may_retry = true;
    } else if (failure.ok()) {
      failure = HubRefusal(client_.settings(), id_, file.path, Existence::kSeen, response);
      may_retry |= !IsOfHub(client_.settings(), response);  // the Hub may know another place
    }
    if (!may_retry) return failure;
    return retries.WaitToRetry(failure, response, context_.stop);
  }

  const FetchContext& context_;
  Waiter& waiter_;
  const HubId& id_;
  const std::string commit_;
  HttpClient client_;
  uint64_t fetched_bytes_ = 0;
};

uint64_t LittleEndian64(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = 8; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

// No length is told: it is read in steps, large enough for what was seen of it, until it ends. Of
// one that cannot be right the parser of the stand-in tells.
absl::Status ReadGgufHeader(RemoteReader& reader, const RemoteFile& file, std::string& header) {
  const uint64_t most = std::min(file.size_bytes, kMostGgufHeaderBytes);
  uint64_t wanted_bytes = std::min(most, kFirstBytes);
  while (true) {
    RETURN_IF_ERROR(reader.Extend(file, wanted_bytes, header));
    const uint64_t needed_bytes = LeastGgufHeaderBytes(header);
    if (needed_bytes > most) return absl::OkStatus();
    if (needed_bytes <= header.size()) {
      if (needed_bytes > 0) header.resize(needed_bytes);
      return absl::OkStatus();
    }
    const uint64_t step = std::min(header.size() + kMostStepBytes, header.size() * 8);
    wanted_bytes = std::min(most, std::max(needed_bytes, step));
  }
}

absl::Status ReadHeader(RemoteReader& reader, const RemoteFile& file, std::string& header) {
  if (file.path.ends_with(".gguf")) return ReadGgufHeader(reader, file, header);
  RETURN_IF_ERROR(reader.Extend(file, std::min(file.size_bytes, kFirstBytes), header));
  const uint64_t length = header.size() < 8 ? 0 : LittleEndian64(header);
  const uint64_t most = std::min(kMaxHeaderBytes, std::max<uint64_t>(file.size_bytes, 8) - 8);
  if (header.size() < 8 || length > most) {
    return MakeError(Error::kValidationFailed,
                     StrCat(file.path, ": byte 0: the header has ", length, " bytes, at most ",
                            most, " are possible"));
  }
  RETURN_IF_ERROR(reader.Extend(file, 8 + length, header));
  header.resize(8 + length);
  return absl::OkStatus();
}

absl::Status WriteStandIn(const fs::path& path, std::string_view header, uint64_t size_bytes) {
  RETURN_IF_ERROR(CreateDirectories(path.parent_path()));
  ASSIGN_OR_RETURN(File file, File::OpenForWrite(path));
  RETURN_IF_ERROR(file.Truncate(0));
  RETURN_IF_ERROR(file.WriteAt(0, std::as_bytes(std::span(header))));
  RETURN_IF_ERROR(file.Truncate(size_bytes));
  return file.Close();
}

absl::StatusOr<std::string> ReadText(RemoteReader& reader, const RemoteFile& file) {
  if (file.size_bytes > kMaxIndexBytes) {
    return MakeError(Error::kValidationFailed,
                     StrCat(file.path, ": ", file.size_bytes, " bytes, at most ", kMaxIndexBytes,
                            " are accepted"));
  }
  std::string text;
  RETURN_IF_ERROR(reader.Extend(file, file.size_bytes, text));
  Digest digest = BlobDigest(file.hash(), file.size_bytes);
  digest.Update(text);
  if (const std::string found = digest.HexDigest(); found != file.hash()) {
    return MakeError(Error::kValidationFailed,
                     StrCat(file.path, ": the bytes that came have the hash ", found, ", expected ",
                            file.hash()));
  }
  return text;
}

// Runs body(i, reader) for each i below `count` on some connections; the first failure counts.
class Readers {
 public:
  Readers(const FetchContext& context, Waiter& waiter, const HubId& id, std::string_view commit)
      : context_(context), waiter_(waiter), id_(id), commit_(commit) {}

  absl::Status ForEach(size_t count,
                       const std::function<absl::Status(size_t, RemoteReader&)>& body) {
    {
      std::vector<std::jthread> threads;
      for (size_t t = 0; t < std::min(count, context_.rules.connections); ++t) {
        threads.emplace_back([&] {
          RemoteReader reader(context_, waiter_, id_, commit_);
          for (size_t i; (i = next_++) < count;) {
            if (absl::Status status = body(i, reader); !status.ok()) {
              const MutexLock lock(mutex_);
              failure_.Update(status);
              next_ = count;
            }
          }
          fetched_bytes_ += reader.fetched_bytes();
        });
      }
    }
    const MutexLock lock(mutex_);
    return failure_;
  }

  uint64_t fetched_bytes() const { return fetched_bytes_; }

 private:
  const FetchContext& context_;
  Waiter& waiter_;
  const HubId& id_;
  const std::string commit_;
  std::atomic<size_t> next_ = 0;
  std::atomic<uint64_t> fetched_bytes_ = 0;
  Mutex mutex_;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
};

// A model as the Hub, or in its place a cache, tells of it.
struct Look {
  std::optional<FetchedModel> here;  // it is whole in a cache; else:
  RepositoryInfo info;
};

absl::StatusOr<Look> LookUp(const FetchContext& context, const HubId& id) {
  Look look;
  if (context.settings.offline) {
    ASSIGN_OR_RETURN(look.here, FindFetchedModel(context, id));
    return look;
  }
  absl::StatusOr<RepositoryInfo> info = ResolveModel(context, id, context.questions);
  if (!info.ok()) {
    ASSIGN_OR_RETURN(look.here, InsteadOfHub(context, id, info.status()));
    return look;
  }
  look.info = *std::move(info);
  auto here = FindFetchedModel(context, {.name = id.name, .revision = look.info.commit});
  if (here.ok()) look.here = *std::move(here);
  return look;
}

absl::StatusOr<ModelFiles> ChooseFiles(RemoteReader& reader, const HubId& id,
                                       const RepositoryInfo& info) {
  std::optional<std::string> index;
  if (const auto file = FindWeightIndex(info.files)) {
    ASSIGN_OR_RETURN(index, ReadText(reader, *file), << "model '" << id.name << "'");
  }
  return ChooseModelFiles(id.name, info.files, index);
}

// What a job would fetch. Two files of the same bytes are one blob.
uint64_t MissingBytes(const FetchContext& context, const HubId& id, std::string_view commit,
                      const ModelFiles& chosen) {
  std::set<std::string> seen;
  uint64_t missing_bytes = 0;
  for (const auto* files : {&chosen.descriptions, &chosen.weights}) {
    for (const RemoteFile& file : *files) {
      if (!seen.insert(file.hash()).second) continue;
      missing_bytes += file.size_bytes - BytesThere(context, id, commit, file);
    }
  }
  return missing_bytes;
}

}  // namespace

absl::StatusOr<FetchedModel> FetchHeaders(const FetchContext& context, const HubId& id, Texts texts,
                                          const fs::path& directory) {
  ASSIGN_OR_RETURN(const Look look, LookUp(context, id));
  if (look.here) return *look.here;
  const RepositoryInfo& info = look.info;
  TellingWaiter waiter = context.telling_waiter();
  RemoteReader reader(context, waiter, id, info.commit);
  ASSIGN_OR_RETURN(const ModelFiles chosen, ChooseFiles(reader, id, info));

  RETURN_IF_ERROR(CreateDirectories(directory));
  FetchedModel headers{.commit = info.commit, .path = directory};
  if (!chosen.gguf.empty()) headers.path /= chosen.gguf;
  for (const RemoteFile& file : chosen.descriptions) {
    headers.size_bytes += file.size_bytes;
    if (texts == Texts::kFew && std::ranges::count(kFewTexts, file.path) == 0) continue;
    ASSIGN_OR_RETURN(const std::string text, ReadText(reader, file),
                     << "model '" << id.name << "'");
    RETURN_IF_ERROR(WriteStandIn(directory / file.path, text, text.size()));
    ++headers.files;
  }
  Readers readers(context, waiter, id, info.commit);
  const auto copy_header = [&](size_t i, RemoteReader& one) -> absl::Status {
    const RemoteFile& file = chosen.weights[i];
    std::string header;
    RETURN_IF_ERROR(ReadHeader(one, file, header)) << "model '" << id.name << "'";
    return WriteStandIn(directory / file.path, header, file.size_bytes);
  };
  RETURN_IF_ERROR(readers.ForEach(chosen.weights.size(), copy_header));
  for (const RemoteFile& file : chosen.weights) headers.size_bytes += file.size_bytes;
  headers.missing_bytes = MissingBytes(context, id, info.commit, chosen);
  headers.files += chosen.weights.size();
  headers.fetched_bytes = reader.fetched_bytes() + readers.fetched_bytes();
  return headers;
}

absl::StatusOr<std::string> PinModel(const FetchContext& context, const HubId& id) {
  ASSIGN_OR_RETURN(const Look look, LookUp(context, id));
  if (look.here) return look.here->commit;
  TellingWaiter waiter = context.telling_waiter();
  RemoteReader reader(context, waiter, id, look.info.commit);
  ASSIGN_OR_RETURN(const ModelFiles chosen, ChooseFiles(reader, id, look.info));
  // The Hub describes a gated model to everybody, and shows its README.md; the weights are what it
  // keeps from them.
  const RemoteFile& file = chosen.weights.front();
  std::string first_byte;
  RETURN_IF_ERROR(reader.Extend(file, std::min<uint64_t>(file.size_bytes, 1), first_byte));
  return look.info.commit;
}

}  // namespace quantized
