// What `quantize-fetch cache …` tells, for people. Its own object is the JSON form.
#pragma once

#include <string>
#include <string_view>

namespace quantized {

// Each takes the object that the command of its name printed.
std::string HumanCacheList(std::string_view answer);
std::string HumanCacheVerify(std::string_view answer);
std::string HumanCachePrune(std::string_view answer);

}  // namespace quantized
