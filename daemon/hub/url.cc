#include "daemon/hub/url.h"

#include <curl/curl.h>

#include <cstdint>
#include <memory>

#include "core/base/str_cat.h"
#include "core/base/text.h"

namespace quantized {
namespace {

using Url = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

Url Parse(std::string_view text) {
  Url url(curl_url(), curl_url_cleanup);
  if (url && curl_url_set(url.get(), CURLUPART_URL, std::string(text).c_str(), 0) != CURLUE_OK) {
    url.reset();
  }
  return url;
}

std::string PartOf(const Url& url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url.get(), part, &text, flags) != CURLUE_OK) return "";
  std::string result(text);
  curl_free(text);
  return result;
}

bool IsHttp(const Url& url) {
  if (!url) return false;
  const std::string scheme = PartOf(url, CURLUPART_SCHEME);
  return (scheme == "http" || scheme == "https") && !PartOf(url, CURLUPART_HOST).empty();
}

}  // namespace

bool IsPlainHttpUrl(std::string_view text) {
  const Url url = Parse(text);
  return IsHttp(url) && PartOf(url, CURLUPART_USER).empty() &&
         PartOf(url, CURLUPART_PASSWORD).empty() && PartOf(url, CURLUPART_QUERY).empty() &&
         PartOf(url, CURLUPART_FRAGMENT).empty();
}

std::optional<std::string> OriginOf(std::string_view text) {
  const Url url = Parse(text);
  if (!IsHttp(url)) return std::nullopt;
  std::string host = PartOf(url, CURLUPART_HOST);
  for (char& c : host) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return StrCat(PartOf(url, CURLUPART_SCHEME), "://", host, ":",
                PartOf(url, CURLUPART_PORT, CURLU_DEFAULT_PORT));
}

bool IsHttps(std::string_view text) {
  const Url url = Parse(text);
  return url && PartOf(url, CURLUPART_SCHEME) == "https";
}

std::optional<std::string> ResolveLocation(std::string_view base, std::string_view location) {
  const Url url = Parse(base);
  // Set on a URL, another one is taken as relative to it.
  if (!url || location.empty() ||
      curl_url_set(url.get(), CURLUPART_URL, std::string(location).c_str(), 0) != CURLUE_OK ||
      !IsHttp(url)) {
    return std::nullopt;
  }
  return PartOf(url, CURLUPART_URL);
}

std::string PercentEncode(std::string_view text, bool keep_slashes) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~' || (c == '/' && keep_slashes);
    if (plain) {
      encoded += c;
    } else {
      const auto byte = static_cast<uint8_t>(c);
      encoded += '%';
      encoded += kDigits[byte >> 4];
      encoded += kDigits[byte & 15];
    }
  }
  return encoded;
}

std::string PublicUrl(std::string_view text) {
  const Url url = Parse(text);
  if (!url) return "an unreadable URL";
  for (const CURLUPart part :
       {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY, CURLUPART_FRAGMENT}) {
    curl_url_set(url.get(), part, nullptr, 0);
  }
  return PrintableText(PartOf(url, CURLUPART_URL));
}

}  // namespace quantized
