// Package portlist is the one way in which people and files name ports to
// ssmonitor: the specification PORT[-PORT][/tcp|/udp][=NAME] of the flag
// --port, and the list of ports, a file with one specification a line, which
// setup writes and run reads.
//
// A specification without a protocol means both. A name is what follows the
// first equals sign, without the white space around it; nothing in it is
// special, so quotes and # are part of it. In the list, a line that begins
// with # is a comment, and blank lines do not count.
package portlist
