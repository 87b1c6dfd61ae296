// Random and time-ordered identifiers.
#pragma once

#include <string>
#include <string_view>

namespace quantized {

// A ULID (github.com/ulid/spec): 26 characters of Crockford base 32, 48 bits of Unix milliseconds
// then 80 random bits; sorts by creation time, to the millisecond.
std::string NewUlid();
bool IsUlid(std::string_view text);

// A random UUID (RFC 4122, version 4), lower case.
std::string NewUuid();
bool IsUuid(std::string_view text);

}  // namespace quantized
