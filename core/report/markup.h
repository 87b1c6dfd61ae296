// Text and numbers as they stand in a page, which is HTML and well-formed XML at once.
#pragma once

#include <string>
#include <string_view>

namespace quantized {

// `text` fit for content and for attributes in double quotes: marks escaped; bytes that are no
// UTF-8 and characters that XML does not allow replaced by U+FFFD.
std::string Escaped(std::string_view text);

// `value` with so many decimals; "–" where it is not finite.
std::string Decimal(double value, int decimals);
// Three digits, as "0.00120", "4.56e-08" or "789", and "0"; "–" where it is not finite.
std::string ThreeDigits(double value);
// A figure and its standard error, with so many decimals (3 to 7) that the error has two digits.
struct Uncertain {
  std::string value, error;
};
Uncertain WithError(double value, double standard_error);

}  // namespace quantized
