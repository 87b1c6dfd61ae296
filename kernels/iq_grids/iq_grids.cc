#include "kernels/iq_grids/iq_grids.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

#include "hwy/base.h"

namespace quantized::kernels {
namespace {

// The grids as steps between the numbers of successive points, where the digits of a point are a
// number with base 3 or 8, least significant digit first. The first step leads from -1 to the
// first point. A character is a step of its code less '0' (1 … 41); a 'Z' before it adds 41. The
// points are facts of the format: tables iq1s_grid, iq2xxs_grid, iq2xs_grid, iq2s_grid,
// iq3xxs_grid and iq3s_grid of ggml-common.h in llama.cpp (October 2026).
constexpr int kLongStep = 41;

constexpr char kIQ1Steps[] =
    "1222223524256228524255242416222156424242221762285242552425665422422332242;228666441?666211822"
    "8244112112222222932222112>4<2622231426624;2425524256485242552425624516813624<2226524255242566"
    "335222255242:12451626424213<2253622222224246411111122488262@228552422242862286425121345311222"
    "112422642312112213424221122222222115111121221122211221121121122621181122442112223111321211633"
    "284<486222242211222662:>22423711242112114483122442977272222224426643:242552222566335242552222"
    "562467146222211855266522352425642665223524258226811242226862433<6662424213422:231222222652566"
    "665165248:24255242562:5242:24283246:24262226552515242:242564265242552425648<4222222@434412224"
    "2112242622221121522222422511;62286:244495:6<3962222115122224222251631242211224422112212111132"
    "112411242112152223351222242222311212422434416228634575242422266222663131312422444211112222136"
    "242114222@@2262244>:6211242422424242112628262314262112211112411222112211111111221124262112244"
    "246242282422112429522314916211113322221121112111112111122622211232142111122111112122112211111"
    "112111111111121111122131112111132112211121132121211111113311111111111112213421111234321115112"
    "242475222211112211752222463124221126621122111111112211233332111168374141262133111422227321122"
    "<822686411222223=862224261326333126134532642<42;148113=648?1213242222222211211228132211112224"
    "6222312>1122121123211272123121321155655112422221112142322442112323?266:2426665852646222213114"
    "211224431556213<41=242422413773264242:2425512226524255242562226624222111522635226524255242;24"
    "6524255242=4<2734224>4<64246221324211215112222222228>4266241143124356746242552422362463224255"
    "2425152286222222422::265242552425622=24255242564116642622815622266222242222222451211242826224"
    "22266246822222282682;322442848221111211282611246242211211233312211221111111122112332411112112"
    "22222643252621312126251413118226:266442213419642682222222112242222221124213226224248998222424"
    "<6211=2425524256222;242552425332221?2332222:5232=421744256426524255242A66263122231116L2222282"
    "42621126422112422@64323823321132<44123224242:242;222;24255242584336844242;5=242:242;22=242552"
    "42";

constexpr char kIQ2XXSSteps[] =
    "12222226242226642626<8264>N<<2BTJ26:2624<:26<624<>D2:H2BNB6426<4262FHHZ?:ZM26:8B<64>6<B8:Z7:Z"
    "96<4<DZ1PR>ZK26BLJ4ZKZ5Z326F@82Z98Z72ZW26B>XLDZZ>H<Z7ZZZ3Z;266426684:26BBL84H8H8:N6<T@F:ZCZY2"
    "6B4Z9Z14:Z?PB6462T6HJZ5ZMZW2HZQVZ1:6PZCZCZU6BHNXZ?NT4ZZ42Z5ZZZ;ZZZZZ926DLL<<ZGZO264>BTPRFDBVZ"
    "YZZ6ZQ6<6Z5FXZAZ9D:ZZ6ZZZZ@Z3ZZZGRFNZQZZ>ZZZZZZBZ7";

constexpr char kIQ2XSSteps[] =
    "1222222222222422222224262224242:222222222262224266426B222426:264>8D22222224262224224:26B22242"
    "6:26:8L26>42LH222222646266<B8226BL6DB6Z34:22222224262224268226B222426:26B<2>224BBT222426:242<"
    "6L26BZ=<FZ7262@<DF4Z5ZKZ122222226:26BB:26B6@PDRH426@2Z=L:P<@ZC462:FD>ZA<H<V42D222222242622222"
    "264626B222426:26B4@8262>2Z=2224242:26B<@26<6Z3:8F6Z526B488R:D6@PZU2224266426BL264>2Z;NZ9226:8"
    "B:B86Z76XPF8<@8RL:2ZZLH26B<8<D2ZZD>N@>ZSB4Z3ZZ6Z;Z9ZGR8R2224268226B2F22224B:6VBT2@642622>B@DN"
    "Z5DVL6@F:2F8ZZ>R68:426B>@HDLZQDD4J66ZGV2Z3ZZ8XVZCPT242:8Z5Z56R424DLBTXZZZEDD:24Z766Z=2Z52V@";

constexpr char kIQ2SSteps[] =
    "1222222222222422222224222222242644222222224262224222242426226262224268222224>4448822222224222"
    "22222222222262222424262222222224242222222426222426:22224>42426:26B22242222442222222242648>226"
    "2224842426:8B:2842:R<22222224224222422222224224424262222222222224222222242622242@2424626462@2"
    "6B222422224242222222426222426:2222222426222426:26B42426:26BJ222224248222426:2H222426:26@F:6B>"
    "X2224222244226228684>226226822626:26B8<4246H2@4222242426222426:26B42426:26>4L26B@V462@26JB226"
    "ZAF<L<2D2222222222242222222222262642426222422222262222222426222426:262226642426:2H22222222222"
    "242222222426222426:22222224262224268226B222426:26BF6242222426222426<6B222426:26B>>26BZ=222422"
    "222224222222242622242@2222222426222426:26B42426:26@2L2222222426222426:26B222426:26BL26>4Z=222"
    "426:268:L26BZ=@Z1D422422242642426<6B222426:26B@>6B>P842426:26BL26B8@>@ZI@26XD<JZZ2Z3822242424"
    "62622248462@24222242622242@26@24422@26Z5222222248222426:26B222426:26B8D26@2Z=462@26V82HFZ;F2<"
    "B824222266222426:26B462@268V26BZ94222426:26B>>26BZ148P@R26>4Z;2R4ZZHB44486226V6LFR6<42N42@426"
    "BR>6@ZZDZ;@Z9Z5DL2:24TD";

constexpr char kIQ3XXSSteps[] =
    "1225241279I2425274327;<822572724:6>4612;SCD5;<246C@Z:GD42E>@25272522;1H2772Z625277R62>9=@;4SX"
    "4BC<ZT>P27252439O223277K41827612=1=D74Z34Q>HD:KZL2;GL7272E=562>9;2K25=E@?BZD?C66<KOBEXED;>2<4"
    "ZTD?1@6ANOU;Q>EZT32>Z9GG86@GO>P8YM;4S8GZVZ3>Z9@2>MPNUT6ZMQUZ8X>Z9221B@Z3:Z1K5F=>EQ@O2BZK";

constexpr char kIQ3SSteps[] =
    "11132111222146523222527331112414334247=456142133343463222=386432723642=243;4236636?:2<245642?"
    "5;32>A?722<245=4D1124122212732>239612324573672>62:3214663:3:7331366145A6;252=27424E73672?W43="
    "2K2527<4A68122212223241272232=13232634334367H33:2572:4:34234925276>;693734I3759=1;=825:L4D4=2"
    ";5J722237225232:6822752=@:42:6:2<I7452419246>86547A64=72;5::=CCP2=2;S46643377@:522765664D2554"
    ":5?36<525274S2B;1I<2:QIADH5;;6I646>433<6522579P69:56=G51?=5<663<:<T<C2Z>P2>Z>22<2E@@7MFB6;568"
    "<5?Z<>?>3IDEKY2Z<4392<2<6@7;?2L34637AIH3>F465HZ1@PGW";

template <class Cube>
constexpr int PointsOfCube() {
  int points = 1;
  for (int i = 0; i < Cube::kDigits; ++i) points *= Cube::kLevels;
  return points;
}

template <class Cube>
uint16_t PackDigits(int number) {
  int packed = 0;
  for (int i = 0; i < Cube::kDigits; ++i, number /= Cube::kLevels) {
    packed |= number % Cube::kLevels << (Cube::kBits * i);
  }
  return static_cast<uint16_t>(packed);
}

template <class Cube>
std::vector<uint16_t> GridPoints(std::string_view steps) {
  std::vector<uint16_t> points;
  int number = -1;
  for (const char c : steps) {
    number += c == 'Z' ? kLongStep : c - '0';
    if (c != 'Z') points.push_back(PackDigits<Cube>(number));
  }
  return points;
}

// Squared distances between halves of points, in units of one digit: a distance is the sum of
// those of its halves.
template <class Cube>
class HalfDistances {
 public:
  static constexpr int kHalfBits = Cube::kBits * Cube::kDigits / 2;
  static constexpr int kHalves = 1 << kHalfBits;

  HalfDistances() {
    for (int a = 0; a < kHalves; ++a) {
      for (int b = 0; b < kHalves; ++b) {
        int sum = 0;
        for (int i = 0; i < Cube::kDigits / 2; ++i) {
          const int difference = DigitOf<Cube>(a, i) - DigitOf<Cube>(b, i);
          sum += difference * difference;
        }
        table_[a][b] = static_cast<uint8_t>(sum);
      }
    }
  }
  const uint8_t* of(int half) const { return table_[half].data(); }

 private:
  // Two halves with 8 levels are at most 2 * 2 * 49 = 196 apart.
  std::array<std::array<uint8_t, kHalves>, kHalves> table_;
};

// A run of grid points with the same upper half, which are neighbours in the grid's order.
struct Run {
  int upper, begin, end;
};

template <int kHalfBits>
std::vector<Run> RunsOf(const std::vector<uint16_t>& grid) {
  std::vector<Run> runs;
  for (int j = 0; j < static_cast<int>(grid.size()); ++j) {
    const int upper = grid[j] >> kHalfBits;
    if (runs.empty() || runs.back().upper != upper) runs.push_back({upper, j, j});
    runs.back().end = j + 1;
  }
  return runs;
}

// Set bit d: a grid point at distance d was seen. Kept to the `kept` smallest.
class SmallestDistances {
 public:
  explicit SmallestDistances(int kept) : kept_(kept) {}
  // Whether a point at distance d can be among those that are kept.
  bool Matters(int d) const { return d <= limit_; }
  void See(int d) {
    const uint64_t bit = uint64_t{1} << (d % 64);
    if ((seen_[d / 64] & bit) != 0) return;
    seen_[d / 64] |= bit;
    int left = kept_;
    for (int word = 0; word < 4; ++word) {
      for (uint64_t bits = seen_[word]; bits != 0; bits &= bits - 1) {
        if (--left == 0) limit_ = 64 * word + std::countr_zero(bits);
        if (left <= 0) return;
      }
    }
  }
  int limit() const { return limit_; }

 private:
  int kept_, limit_ = 255;
  std::array<uint64_t, 4> seen_ = {};
};

struct Near {
  uint16_t point;
  uint8_t distance;
};

// The points of a grid near one of the cube, in the order of their numbers: those at the `kept`
// smallest distances and a few others. Skips runs that are too far away as a whole.
template <class Cube>
void FindNear(const HalfDistances<Cube>& distances, const std::vector<uint16_t>& grid,
              const std::vector<Run>& runs, int packed, SmallestDistances& smallest,
              std::vector<Near>& near) {
  constexpr int kHalfBits = HalfDistances<Cube>::kHalfBits;
  constexpr int kLower = (1 << kHalfBits) - 1;
  const uint8_t* to_upper = distances.of(packed >> kHalfBits);
  const uint8_t* to_lower = distances.of(packed & kLower);
  near.clear();
  for (const Run& run : runs) {
    const int upper = to_upper[run.upper];
    if (!smallest.Matters(upper)) continue;
    for (int j = run.begin; j < run.end; ++j) {
      const int distance = upper + to_lower[grid[j] & kLower];
      if (!smallest.Matters(distance)) continue;
      smallest.See(distance);
      near.push_back({static_cast<uint16_t>(j), static_cast<uint8_t>(distance)});
    }
  }
}

// Appends to `lists` the points up to the distance `limit`, by distance and then by number, and
// their count before them.
void AppendList(const std::vector<Near>& near, int limit, std::vector<uint16_t>& lists) {
  std::array<size_t, 256> next = {};
  for (const Near& n : near) ++next[n.distance];
  const size_t begin = lists.size();
  size_t end = begin + 1;
  for (int distance = 0; distance <= limit; ++distance) {
    end += std::exchange(next[distance], end);
  }
  lists.resize(end);
  lists[begin] = static_cast<uint16_t>(end - begin - 1);
  for (const Near& n : near) {
    if (n.distance <= limit) lists[next[n.distance]++] = n.point;
  }
}

// A grid and the arrays that it points into.
struct OwnedGrid {
  std::vector<uint16_t> digits, lists;
  std::vector<int> map;
  IqGrid grid;
};

template <class Cube>
const OwnedGrid* MakeGrid(std::string_view steps, int kept) {
  auto* owned = new OwnedGrid{.digits = GridPoints<Cube>(steps)};
  const std::vector<uint16_t>& digits = owned->digits;
  HWY_ASSERT(std::ranges::is_sorted(digits));
  owned->map.resize(size_t{1} << Cube::kBits * Cube::kDigits);
  const HalfDistances<Cube> distances;
  const std::vector<Run> runs = RunsOf<HalfDistances<Cube>::kHalfBits>(digits);
  std::vector<Near> near;
  size_t next = 0;
  for (int number = 0; number < PointsOfCube<Cube>(); ++number) {
    const uint16_t packed = PackDigits<Cube>(number);
    if (next < digits.size() && digits[next] == packed) {
      owned->map[packed] = static_cast<int>(next++);
    } else {
      owned->map[packed] = -1 - static_cast<int>(owned->lists.size());
      SmallestDistances smallest(kept);
      FindNear<Cube>(distances, digits, runs, packed, smallest, near);
      AppendList(near, smallest.limit(), owned->lists);
    }
  }
  owned->grid = {digits.data(),
                 owned->map.data(),
                 owned->lists.data(),
                 static_cast<int>(digits.size()),
                 static_cast<int>(owned->map.size()),
                 static_cast<int>(owned->lists.size())};
  return owned;
}

}  // namespace

const IqGrid& IQ1Grid() {
  static const OwnedGrid* const owned = MakeGrid<TernaryCube>(kIQ1Steps, 3);
  return owned->grid;
}

const IqGrid& IQ2XXSGrid() {
  static const OwnedGrid* const owned = MakeGrid<TernaryCube>(kIQ2XXSSteps, 2);
  return owned->grid;
}

const IqGrid& IQ2XSGrid() {
  static const OwnedGrid* const owned = MakeGrid<TernaryCube>(kIQ2XSSteps, 2);
  return owned->grid;
}

const IqGrid& IQ2SGrid() {
  static const OwnedGrid* const owned = MakeGrid<TernaryCube>(kIQ2SSteps, 1);
  return owned->grid;
}

const IqGrid& IQ3XXSGrid() {
  static const OwnedGrid* const owned = MakeGrid<OctalCube>(kIQ3XXSSteps, 2);
  return owned->grid;
}

const IqGrid& IQ3SGrid() {
  static const OwnedGrid* const owned = MakeGrid<OctalCube>(kIQ3SSteps, 3);
  return owned->grid;
}

}  // namespace quantized::kernels
