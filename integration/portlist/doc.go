// Package portlist reads and writes ports as people and files name them: the
// specification PORT[-PORT][/tcp|/udp][@ADDRESS[:PORT]]...[=NAME] of the flag
// --port, and the list of ports, a file with one specification per line, which
// setup writes and run reads.
//
// A specification without a protocol means both. Each @ is followed by a place to
// which the host forwards the port, with an IPv6 address in brackets; without a port
// it is the same number. The name is what follows the first equals sign, without
// surrounding white space. No character in it is special: quotes and # are part of
// the name. In the list, a line that begins with # is a comment. A comment
// "# from SOURCE" records where the ports below it came from; several of them in a
// row apply together. A comment "# published" among them records that a container
// engine publishes the ports. Blank lines are ignored.
package portlist
