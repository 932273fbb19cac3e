// Multiple choice against an independent script: its own tokenizer, templates, forward pass and sums.
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.h"
#include "eval/task_score.h"
#include "eval/test_task.h"
#include "tokenizer/tokenizer_json.h"

namespace dsmoe::eval {
namespace {

void expect_golden(const std::string& name, int64_t items, int64_t shots) {
  SCOPED_TRACE(name);
  const base::TestFolder folder;
  const base::fs::path source = base::fs::path(DSMOE_SOURCE_DIR) / "tests";
  const Task task = read_task(source / "tasks" / name);
  std::string command = "python3 '" + (source / "golden/choice.py").string() + "' '" + folder.path().string() + "' '" +
                        task.folder.string() + "' " + std::to_string(items);
  for (const Item* shot : draw_shots(task, {.shots = shots})) command += " '" + shot->id + "'";
  ASSERT_EQ(std::system(command.c_str()), 0);
  const base::Json golden = base::parse_json(base::read_file(folder / "golden.json"), "golden.json");
  ASSERT_EQ(std::ssize(golden), items);

  engine::Engine engine = engine::Engine::load(folder.path(), {.threads = 2});
  const auto tokenizer = tokenizer::load_tokenizer(folder / "tokenizer.json");
  int64_t found = 0;
  for (const ItemScore& item : score_choices(engine, tokenizer, task, {.shots = shots}).items) {
    if (!golden.contains(item.item->id)) continue;
    const Item& asked = *item.item;
    EXPECT_NEAR(item.values[3], -golden[asked.id][asked.right].get<double>(), 1e-4) << asked.id;
    for (size_t c = 0; c < asked.choices.size(); ++c) {
      EXPECT_NEAR(std::stod(item.sample["filtered_resps"][c][0].get<std::string>()), golden[asked.id][c].get<double>(),
                  1e-4)
          << asked.id << asked.choices[c];
    }
    ++found;
  }
  EXPECT_EQ(found, items);
}

TEST(ChoiceGolden, ScoresAreThoseOfTheIndependentScript) {
  if (std::system("python3 -c 'import tomllib' 2>/dev/null") != 0) GTEST_SKIP() << "no python3 here with tomllib";
  expect_golden("facts", 1, 1);
  expect_golden("word-sense", 1, 0);
}

}  // namespace
}  // namespace dsmoe::eval
