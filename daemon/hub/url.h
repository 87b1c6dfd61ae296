// URLs, as far as a client of the Hub looks into them. Parsed by libcurl, as they are when used.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace quantized {

// Whether `url` is http or https with a host, and without user, query or fragment.
bool IsPlainHttpUrl(std::string_view url);

// Scheme, host and port, "https://huggingface.co:443"; nullopt for what is no URL of http or https.
std::optional<std::string> OriginOf(std::string_view url);

bool IsHttps(std::string_view url);

// `location` of a redirect seen from `base`: absolute. nullopt for what is no URL of http or https.
std::optional<std::string> ResolveLocation(std::string_view base, std::string_view location);

// `text` with every byte but letters, digits and - _ . ~ as %XX; '/' stays where `keep_slashes`.
std::string PercentEncode(std::string_view text, bool keep_slashes);

// `url` for a message: printable, without user, query and fragment, which may hold a signature.
std::string PublicUrl(std::string_view url);

}  // namespace quantized
