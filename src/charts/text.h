// Words and numbers as a page takes them: made safe, kept short, packed into links.
#pragma once

#include <string>
#include <string_view>

namespace dsmoe::charts {

/// Text made safe between tags and in double-quoted attributes; bytes that are not UTF-8 become U+FFFD.
std::string escape_html(std::string_view text);
/// A number the short way: 4 significant digits, no exponent between 0.001 and 10^6; "not measured" where it is not
/// finite.
std::string short_number(double value);
/// A number as data: 7 significant digits, empty where it is not finite.
std::string plain_number(double value);
/// Text as the address of a link that holds it, `type` being its media type.
std::string data_uri(std::string_view type, std::string_view text);
/// Lower-case letters, digits and single hyphens: a title as a name of files and of places in a page.
std::string slug(std::string_view title);

}  // namespace dsmoe::charts
