// Package packaging holds the tests of what is released: tarballs, Debian, RPM
// and Arch packages, and what they are built of. They build with the real tools, in
// temporary directories.
package packaging
