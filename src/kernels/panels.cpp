#include "kernels/panels.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <vector>

#include "base/error.h"
#include "kernels/isa.h"

namespace dsmoe::kernels {
namespace {

size_t at(int64_t i) { return static_cast<size_t>(i); }
size_t at(Number number) { return static_cast<size_t>(number); }
int64_t panels_of(int64_t n) { return (n + kPanel - 1) / kPanel; }

/// Memory of a thread that only grows, in large pages where the system has them: packed operands are read in many
/// streams at once, more than small pages' translations are kept for.
class Scratch {
 public:
  ~Scratch() { release(); }
  void* of(int64_t bytes) {
    if (bytes > bytes_) {
      release();
      bytes_ = (bytes + kPage - 1) / kPage * kPage;
      memory_ = ::operator new (at(bytes_), std::align_val_t{kPage});
      madvise(memory_, at(bytes_), MADV_HUGEPAGE);  // a wish: small pages do as well
    }
    return memory_;
  }

 private:
  static constexpr int64_t kPage = int64_t{1} << 21;
  void release() {
    if (memory_) ::operator delete (memory_, std::align_val_t{kPage});
  }
  void* memory_ = nullptr;
  int64_t bytes_ = 0;
};

void run_block(Number type, PanelBlock block) {
  thread_local Scratch scratch;
  block.scratch = scratch.of(BlockRoom(type, block).bytes());
  kernels().panel_block[at(type)](block);
}

int64_t multiply_adds(const PanelProduct& p) { return p.m * panels_of(p.n) * kPanel * p.k; }

/// Rows and panels of one block. Rows are packed once per block, and panels stay in the nearest caches for a block's
/// rows, so both are large where the work allows. `all` multiply-adds are to be shared out; blocks stop shrinking where
/// packing would cost more than an idle thread.
struct BlockSize {
  int64_t rows, panels, cells;

  BlockSize(const PanelProduct& p, int64_t all) {
    const bool packs_right = !p.right;
    const bool whole_rows = p.epilogue == Epilogue::kSwigluBackward;  // a row's grad_weight is one thread's sum
    const int64_t least_rows = packs_right ? 192 : 48, least_panels = packs_right ? 4 : 8;
    const int64_t share = std::clamp(all / (packs_right ? 12 : 48), int64_t{1} << 20, int64_t{1} << 27);
    cells = packs_right ? 128 : 256;
    rows = std::min<int64_t>(p.m, 192);
    panels = std::max<int64_t>(1, panels_of(p.n));
    if (!whole_rows) panels = std::min<int64_t>(panels, packs_right ? 8 : 32);
    while (rows * panels * kPanel * p.k > share) {
      if (rows > least_rows) {
        rows = (rows + 1) / 2;
      } else if (panels > least_panels && !whole_rows) {
        panels = (panels + 1) / 2;
      } else {
        return;
      }
    }
  }
};

/// Cuts a product into blocks of nearly equal size.
void add_blocks(const PanelProduct& p, int64_t all, std::vector<PanelBlock>& blocks) {
  const BlockSize size(p, all);
  const int64_t panels = panels_of(p.n);
  if (panels == 0 && p.epilogue == Epilogue::kSwigluBackward && p.swiglu.grad_weight) {
    std::fill_n(p.swiglu.grad_weight, p.m, 0.0f);  // no block will: a sum over nothing
  }
  if (p.m == 0 || panels == 0 || (p.k == 0 && p.epilogue == Epilogue::kAdd)) return;
  const int64_t row_parts = (p.m + size.rows - 1) / size.rows;
  const int64_t panel_parts = (panels + size.panels - 1) / size.panels;
  for (int64_t i = 0; i < panel_parts; ++i) {
    const int64_t panel = panels * i / panel_parts, panel_end = panels * (i + 1) / panel_parts;
    for (int64_t j = 0; j < row_parts; ++j) {
      const int64_t row = p.m * j / row_parts;
      blocks.push_back({&p, row, p.m * (j + 1) / row_parts - row, panel, panel_end - panel, size.cells});
    }
  }
}

}  // namespace

void pack_right(Number from, const RowsView& source, Along along, int64_t k, int64_t n, Number to, void* packed) {
  const int64_t panel_bytes = packed_numbers(k, kPanel) * number_bytes(to);
  for (int64_t panel = 0; panel < panels_of(n); ++panel) {
    void* const out = static_cast<char*>(packed) + panel * panel_bytes;
    const int64_t column = panel * kPanel, columns = std::min(kPanel, n - column);
    if (along == Along::kDepth) {
      kernels().pack_panel_of_rows[at(from)][at(to)](source, k, column, columns, out);
      continue;
    }
    const void* starts[kPanel] = {};
    for (int64_t i = 0; i < columns; ++i) {
      const int64_t row = source.index ? source.index[column + i] : column + i;
      starts[i] = static_cast<const char*>(source.data) + row * source.stride * number_bytes(from);
    }
    kernels().pack_panel_of_columns[at(from)][at(to)](starts, k, out);
  }
}

void pack_gate_up(Number from, const RowsView& gate_up, int64_t k, int64_t width, Number to, void* packed) {
  constexpr int64_t kHalf = kPanel / 2;
  const int64_t panel_bytes = packed_numbers(k, kPanel) * number_bytes(to);
  for (int64_t panel = 0; panel * kHalf < width; ++panel) {
    const void* starts[kPanel] = {};
    for (int64_t i = 0; i < std::min(kHalf, width - panel * kHalf); ++i) {
      for (const int64_t part : {0, 1}) {
        const int64_t row = part * width + panel * kHalf + i;
        starts[part * kHalf + i] = static_cast<const char*>(gate_up.data) +
                                   (gate_up.index ? gate_up.index[row] : row) * gate_up.stride * number_bytes(from);
      }
    }
    kernels().pack_panel_of_columns[at(from)][at(to)](starts, k, static_cast<char*>(packed) + panel * panel_bytes);
  }
}

void panel_products(const base::ParallelFor& parallel_for, Number type, std::span<const PanelProduct> products) {
  int64_t all = 0;
  for (const PanelProduct& p : products) all += multiply_adds(p);
  std::vector<PanelBlock> blocks;
  for (const PanelProduct& p : products) {
    DSMOE_CHECK(p.right || p.right_rows.data || p.k == 0 || p.n == 0 || p.m == 0, "a product has a right operand");
    add_blocks(p, all, blocks);
  }
  // A few neighbours together, so that one asks for the next one's memory; few enough to end together.
  const auto count = static_cast<int64_t>(blocks.size());
  parallel_for(count, std::max<int64_t>(1, count / 32), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (i + 1 < end) blocks[at(i)].next = &blocks[at(i + 1)];
      run_block(type, blocks[at(i)]);
    }
  });
}

void panel_product(Number type, const PanelProduct& product) {
  std::vector<PanelBlock> blocks;
  add_blocks(product, multiply_adds(product), blocks);
  for (const PanelBlock& block : blocks) run_block(type, block);
}

}  // namespace dsmoe::kernels
