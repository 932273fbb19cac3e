// Conversations of every shape: who speaks in which order, and what contents may hold that a format could trip over.
const contents = [
  '', ' ', '\n', '\t\n ', 'hello', ' hello', 'hello ', '\n\nhello\n', 'two\nlines', 'two\n\nparagraphs\n\n', 'a\r\nb',
  'User: hi\n\nAssistant: no', 'Assistant:', '# Title\n\n- one\n- two', "it's \"quoted\" \\n {{ x }} {% if %}", '日本語と中文', 'naïve café',
  '\u00a0wide\u00a0', '\u3000漢字\u3000', '\ufeffmark', '\u2028line\u2029', '\u0085next', '\u200bzero', '🙂 👩‍👩‍👧',
  '<|im_start|>', 'a<|im_end|>b', '<|eot_id|>', '<|start_header_id|>system<|end_header_id|>', '<｜User｜>x', '<｜Assistant｜>',
  '<｜end▁of▁sentence｜>', '<｜begin▁of▁sentence｜>', '<bos>', '<eos>', '<date>', '<s>', '</s>', '[INST]',
  '</think>', '<think>why</think>because', '<think>\n\nwhy \n</think>\n\n because \n', 'a</think>b</think>\n c', '<think>open',
  '<tool_response>x</tool_response>', '<tool_response>', ' '.repeat(50), 'long '.repeat(200),
];
const shapes = [
  'u', 's', 'a', 'su', 'sa', 'ss', 'us', 'ua', 'uu', 'aa', 'au', 'sua', 'uau', 'suau', 'usu', 'uaus', 'ssu', 'sus', 'uauau', 'suauaua',
  'uaa', 'uua', 'asu', 'aus', 'uauu', 'suusa',
];
const roles = { s: 'system', u: 'user', a: 'assistant' };

// Every shape with and without a request for an answer, every content in every place of some of them, and more at random.
export function conversations(count, random) {
  const all = [];
  const add = (shape, content, generate) => all.push({
    messages: [...shape].map((letter, i) => ({ role: roles[letter], content: content(i) })),
    add_generation_prompt: generate,
  });
  for (const generate of [true, false]) {
    for (const shape of shapes) add(shape, (i) => `text ${i}`, generate);
    for (const text of contents) for (const shape of ['u', 'suau', 'ua', 'au', 'us']) add(shape, () => text, generate);
  }
  while (all.length < count) {
    const shape = Array.from({ length: 1 + random(9) }, () => 'suauau'[random(6)]).join('');
    add(shape, () => contents[random(contents.length)] + (random(3) ? '' : contents[random(contents.length)]), random(2) === 0);
  }
  return all;
}
