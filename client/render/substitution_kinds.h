// Tensors that could not take the type that was wanted, by kind: what people read instead of a list
// of tensors.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace quantized {

class SubstitutionKinds {
 public:
  void Add(std::string_view wanted_type, std::string_view used_type, std::string_view why);
  // "166 tensors are Q5_0 instead of Q4_K (rows of 576 values, …)", one for each kind.
  std::vector<std::string> Lines() const;

 private:
  std::map<std::string, int> kinds_;  // → how many tensors
};

}  // namespace quantized
