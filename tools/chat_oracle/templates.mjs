// Formats whose published templates no package brings, written as templates of our own. They say what the format is, not
// how its models' template words it, so that dsmoe is told the format's name.
const frame = (before, after) => `{{ ${JSON.stringify(before)} + message.content + ${JSON.stringify(after)} }}`;
const turns = (system, user, assistant, more = '') => '{% for message in messages %}' + more +
  `{% if message.role == "system" %}${system}{% elif message.role == "user" %}${user}{% else %}${assistant}{% endif %}{% endfor %}`;
const prompt = (text) => `{% if add_generation_prompt %}{{ ${JSON.stringify(text)} }}{% endif %}`;
const im = (role) => frame(`<|im_start|>${role}\n`, '<|im_end|>\n');
const chatml = turns(im('system'), im('user'), im('assistant')) + prompt('<|im_start|>assistant\n');
const withDefault = (text) =>
  `{% if messages[0].role != "system" %}{{ ${JSON.stringify(`<|im_start|>system\n${text}<|im_end|>\n`)} }}{% endif %}`;

const header = (role) => `<|start_header_id|>${role}<|end_header_id|>\n\n`;
const trimmed = (role) => `{{ ${JSON.stringify(header(role))} + message.content | trim + "<|eot_id|>" }}`;
const llamaTurns = turns(trimmed('system'), trimmed('user'), trimmed('assistant')) + prompt(header('assistant'));
const dated = (date) => '{{ bos_token }}{% set system = "" %}{% set rest = messages %}' +
  '{% if messages[0].role == "system" %}{% set system = messages[0].content | trim %}{% set rest = messages[1:] %}{% endif %}' +
  `{{ ${JSON.stringify(header('system') + 'Cutting Knowledge Date: December 2023\nToday Date: ')} + ${date} + "\\n\\n" + system + "<|eot_id|>" }}` +
  llamaTurns.replace('in messages', 'in rest');

const last = '{% set ns = namespace(text="") %}{% for message in messages %}{% if message.role == "system" %}' +
  '{% set ns.text = message.content %}{% endif %}{% endfor %}{{ bos_token + ns.text }}';
const joined = '{% set ns = namespace(text="", any=false) %}{% for message in messages %}{% if message.role == "system" %}' +
  '{% if ns.any %}{% set ns.text = ns.text + "\\n\\n" %}{% endif %}{% set ns.any = true %}' +
  '{% set ns.text = ns.text + message.content %}{% endif %}{% endfor %}{{ bos_token + ns.text }}';
const deepseek = (system, answer, request) =>
  system + turns('', frame('<｜User｜>', ''), `{{ "<｜Assistant｜>" + ${answer} + "<｜end▁of▁sentence｜>" }}`) + prompt(request);
const cut = 'message.content.split("</think>")[-1]';

export const templates = {
  plain: '{{ bos_token }}' + turns(frame('', '\n\n'), frame('User: ', '\n\n'), '{{ "Assistant: " + message.content + eos_token }}') +
    prompt('Assistant:'),
  'deepseek-v2.5': '{{ bos_token }}' + turns(frame('', '\n\n'), frame('<｜User｜>', ''),
    '{{ "<｜Assistant｜>" + message.content + eos_token }}') + prompt('<｜Assistant｜>'),
  'deepseek-v3': deepseek(joined, 'message.content', '<｜Assistant｜>'),
  'deepseek-v3-0324': joined + '{% set ns.any = false %}' + turns('',
    '{% set ns.any = true %}' + frame('<｜User｜>', '<｜Assistant｜>'),
    '{% set ns.any = false %}' + frame('', '<｜end▁of▁sentence｜>')) +
    '{% if add_generation_prompt and not ns.any %}{{ "<｜Assistant｜>" }}{% endif %}',
  'deepseek-r1': deepseek(joined, cut, '<｜Assistant｜><think>\n'),
  'deepseek-r1-first': deepseek(joined, cut, '<｜Assistant｜>'),
  'deepseek-r1-distill': deepseek(last, cut, '<｜Assistant｜><think>\n'),
  'deepseek-r1-distill-first': deepseek(last, cut, '<｜Assistant｜>'),
  chatml,
  'chatml-bos': '{{ bos_token }}' + chatml,
  qwen2: withDefault('You are a helpful assistant.') + chatml,
  'qwen2.5': withDefault('You are Qwen, created by Alibaba Cloud. You are a helpful assistant.') + chatml,
  llama3: '{{ bos_token }}' + llamaTurns,
  'llama3-first': '{{ bos_token }}' + llamaTurns.replace('{% if add_generation_prompt %}', '{% if true %}'),
  'llama3.1': dated('"26 Jul 2024"'),
  'llama3.2': dated('strftime_now("%d %b %Y")'),
};
