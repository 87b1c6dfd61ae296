#include "daemon/hub/retry.h"

#include <curl/curl.h>

#include <algorithm>
#include <condition_variable>
#include <ctime>
#include <limits>
#include <mutex>
#include <optional>
#include <string>

#include "absl/strings/numbers.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/str_cat.h"

namespace quantized {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kWaitWorthTelling{5};

// RFC 9110, 10.2.3: seconds, or a date.
std::optional<seconds> RetryAfter(const HttpResponse& response) {
  const std::string text = response.Header("retry-after");
  if (text.empty()) return std::nullopt;
  int64_t count = 0;
  if (absl::SimpleAtoi(text, &count)) return seconds(std::max<int64_t>(count, 0));
  const std::time_t date = curl_getdate(text.c_str(), nullptr);
  if (date < 0) return std::nullopt;
  // By the clock of who gives it, where he tells.
  const std::time_t theirs = curl_getdate(response.Header("date").c_str(), nullptr);
  const std::time_t now = theirs < 0 ? std::time(nullptr) : theirs;
  return seconds(std::max<int64_t>(date - now, 0));
}

// https://huggingface.co/docs/hub/rate-limits: `"resolvers";r=0;t=55`, for each limit the requests
// left and the seconds until there are new ones. As huggingface_hub does, a second more.
std::optional<seconds> RateLimitReset(const HttpResponse& response) {
  const std::string text = response.Header("ratelimit");
  std::optional<seconds> reset;
  if (response.status != 429) return reset;
  for (size_t at = 0; (at = text.find("t=", at)) != std::string::npos; at += 2) {
    if (at > 0 && text[at - 1] != ';' && text[at - 1] != ' ') continue;
    const size_t begin = at + 2;
    const size_t end = std::min(text.find_first_not_of("0123456789", begin), text.size());
    int64_t count = 0;
    if (!absl::SimpleAtoi(text.substr(begin, end - begin), &count)) continue;
    count = std::min<int64_t>(count, std::numeric_limits<int32_t>::max());
    reset = std::max(reset.value_or(seconds(0)), seconds(count + 1));
  }
  return reset;
}

// How long the server asks to wait; where it says so twice, the longer.
std::optional<seconds> AskedWait(const HttpResponse& response) {
  return std::max(RetryAfter(response), RateLimitReset(response));
}

std::string WhyToWait(milliseconds wait, std::optional<seconds> asked, const absl::Status& failure,
                      int status) {
  const int64_t count = std::chrono::ceil<seconds>(wait).count();
  if (asked && *asked >= wait) return StrCat("The Hub asks to wait ", count, " s (", status, ")");
  return StrCat("Trying again in ", count, " s: ", failure.message());
}

}  // namespace

bool RealWaiter::Wait(milliseconds time, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, time, [] { return false; });
  return !stop.stop_requested();
}

void TellingWaiter::Announce(milliseconds time, std::string_view why) {
  if (time < kWaitWorthTelling) return;
  const MutexLock lock(mutex_);
  const auto now = waiter_.Now();
  if (now < told_until_) return;
  told_until_ = now + time;
  tell_(why);
}

absl::Status Retries::WaitToRetry(const absl::Status& failure, const HttpResponse& response,
                                  const std::stop_token& stop) {
  const auto now = waiter_.Now();
  if (++failures_ == 1) first_failure_ = now;
  if (failures_ >= rules_.attempts || now - first_failure_ >= rules_.patience) {
    RETURN_IF_ERROR(failure) << "after " << failures_ << " attempts";
  }
  // From half of it to all of it, so that many clients do not come back together.
  const milliseconds full =
      std::min(rules_.longest_wait, rules_.first_wait * (1 << std::min(failures_ - 1, 16)));
  milliseconds wait(
      std::uniform_int_distribution<int64_t>(full.count() / 2, full.count())(random_));
  const std::optional<seconds> asked = AskedWait(response);
  if (asked) {
    if (*asked > rules_.longest_retry_after) {
      RETURN_IF_ERROR(failure) << "the server asks to wait for " << asked->count() << " seconds";
    }
    wait = std::max<milliseconds>(wait, *asked);
  }
  waiter_.Announce(wait, WhyToWait(wait, asked, failure, response.status));
  if (!waiter_.Wait(wait, stop)) return DownloadCancelled();
  return absl::OkStatus();
}

}  // namespace quantized
