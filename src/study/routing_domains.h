// How far experts specialise by domain, in measures that models of different E and K share.
//
// Two questions, each with an answer in bits, a value under random routing and the most that is possible:
//
// 1. One pick: what does one expert that a token picked tell about the token's domain? The mutual information
//        I = sum_d 1/D sum_e p(e|d) log2(p(e|d) / p(e)),   p(e) = mean over d of p(e|d),
//    with p(e|d) the share of expert e in a domain's picks. Let every expert become m identical ones that are picked
//    together: p(e|d) is shared out among them, each term is there m times with 1/m of its size, and I stays what it
//    was. So does the most that any router can reach: with K different experts for each token p(e|d) is at most 1/K,
//    so the entropy of a pick within a domain is at least log2 K, that of a pick at most log2 E, and
//        I <= min(log2 D, log2(E/K)),
//    reached where domains have experts of their own (bound D) or where K experts are all that a domain uses
//    and all experts are used alike (bound E/K).
//
//    From finite text I is too large even where routing does not know of domains: shares that are equal are never
//    found equal. For N_d tokens of domain d, independent of each other, the share p(e|d) of K N_d picks has the
//    variance p(e) (1 - K p(e)) / (K N_d), and the second-order expansion of I gives
//        chance = (E/K - 1) / (2 ln 2) sum_d w_d (1 - w_d) / N_d,   w_d = 1/D,
//    again the same for split experts. Neighbouring tokens are not independent of each other, so this is too small for
//    text. The jackknife over the windows the model read takes their likeness into account: with I_-w without window w
//    of the W_d windows of domain d,
//        chance = sum_d (W_d - 1) (mean over w of I_-w - I),
//    and the deviation of I is the root of sum_d (W_d - 1) / W_d sum_w (I_-w - mean)^2. A domain of one window counts
//    its tokens as independent.
//
// 2. All picks: what do all experts of a token together tell? Fine-grained models may say with seven picks what none
//    of them says alone. The bits that a reader saves who knows them: log2 D minus the cross entropy, on text that the
//    reader has not seen, of the multinomial logistic regression of the domain on which experts were picked; a lower
//    bound of the mutual information, so text that is short or routing that is random gives no more than 0 (and
//    somewhat less). An expert's indicator is scaled by 1/sqrt(K) under a unit Gaussian prior: what m identical experts
//    say together, and what it costs, is then what one said.
#pragma once

#include "base/parallel.h"
#include "study/routing_trace.h"

namespace dsmoe::study {

/// Bits, of which `chance` would be there without any specialisation, and `most` at best.
struct DomainBits {
  double bits = 0, chance = 0, most = 0;
  /// Of `bits`, from the likeness of windows of one domain; 0 where it is not known.
  double deviation = 0;
  /// 0: as random routing, 1: all that is possible. 0 where nothing is possible (E = K).
  double share() const { return most > chance ? (bits - chance) / (most - chance) : 0; }
};

struct DomainSpecialisation {
  DomainBits pick, token;
};

/// [L]. A text of one domain has none: all zero. Layers are shared out among threads.
std::vector<DomainSpecialisation> specialisation_by_domain(const RoutingTrace& trace,
                                                           const base::ParallelFor& parallel = base::serial_for);

/// Question 1 for one mixture layer.
DomainBits pick_bits(const RoutingTrace& trace, size_t layer);
/// Question 2 for one mixture layer. Each half of a domain's tokens is read by a reader of the other half. Of more than
/// `longest` tokens, about as many are taken, evenly spaced.
DomainBits token_bits(const RoutingTrace& trace, size_t layer, int64_t longest = int64_t{1} << 16);

}  // namespace dsmoe::study
