// What a program makes sure of before anything else, once, at the top of main.
#pragma once

namespace dsmoe::apps {

/// Gives the standard streams that were closed at the start something to be, and a mapped file that is cut short while
/// it is in use an end with a message, and lets a file that grows too large be an error:
///
/// - A file opened later must not get the number of a closed stream, or progress would be written into it. Reading and
///   writing such a stream fails as it would have.
/// - SIGBUS in the bytes of a base::MappedFile prints the file's name and ends the program with exit code 4. Any other
///   SIGBUS ends it as ever.
/// - A limit on the size of files makes writing fail, which cleans up, where SIGXFSZ would end the program.
void prepare_process();

}  // namespace dsmoe::apps
