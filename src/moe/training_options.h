// What training adds to the mixture layer beyond the model's own configuration: balance losses and dropping.
//
// Names are those of the run's [train] section. Everything is off by default; evaluation ignores all of it.
#pragma once

#include <cstdint>

namespace dsmoe::moe {

struct TrainingOptions {
  double aux_loss_alpha = 0;          ///< expert-level balance loss (paper eq. 12-14)
  bool seq_aux = true;                ///< per sequence, as DeepSeek's code does; false: pooled over the micro-batch
  bool first_choice_aux = false;      ///< count only first choices (original GShard)
  double device_aux_loss_alpha = 0;   ///< device-level balance loss (paper eq. 15-17)
  double comm_aux_loss_alpha = 0;     ///< communication balance loss (DeepSeek-V2)
  int64_t n_device_groups = 1;        ///< D of the two terms above; divides the routed experts
  double z_loss_alpha = 0;            ///< squared log-sum-exp of router logits (ST-MoE)
  double capacity_factor = 0;         ///< 0: dropless. Else each expert takes ceil(factor * T*K/E) slots
  bool random_second_expert = false;  ///< original GShard: the second expert with probability min(1, 2 g2)
};

}  // namespace dsmoe::moe
