// What transformers' configuration classes add to a config.json: defaults for fields that are not
// there, as data, one row per `model_type`. The reference converter sees a model through these
// classes, so the defaults reach GGUF metadata (docs/design/hf-to-gguf.md, "Configuration").
// Measured on transformers 4.57.
#pragma once

#include <span>
#include <string_view>

namespace quantized {

struct ConfigDefault {
  enum class When {
    kMissing,  // the field is not there; a null stays null
    kMissingOrNull,
    kNull,  // only a null is replaced
  };
  enum class From {
    kValue,
    kField,     // `field`
    kQuotient,  // `field` / `divisor`, rounded down
  };
  std::string_view name;
  When when;
  From from;
  double value = 0;
  std::string_view field = "", divisor = "";
};

struct ConfigClass {
  std::string_view model_type;
  std::span<const ConfigDefault> defaults;  // applied in this order
  // The class copies rope_scaling.type over rope_scaling.rope_type.
  bool rope_type_from_type = false;
  // The class refuses a rope_scaling without the members that its type needs; the file is then
  // taken as it stands.
  bool checks_rope = false;
  // The class knows no rope_scaling but longrope, under that name or an older one, with these three
  // members and as many factors as pairs of dimensions are rotated; it refuses any other.
  bool has_long_rope_only = false;
  // Where the text model's fields stand one level down: the class of `text_config`.
  std::string_view text_class = "";
};

// The members that a rope_scaling of this type must have for a class that checks it.
struct RopeTypeMembers {
  std::string_view rope_type;
  std::span<const std::string_view> required;
};

std::span<const ConfigClass> AllConfigClasses();
// Null for a model type that has no row: its config.json is taken as it stands.
const ConfigClass* FindConfigClass(std::string_view model_type);
// Null for a type of which nothing is required.
const RopeTypeMembers* FindRopeTypeMembers(std::string_view rope_type);

}  // namespace quantized
