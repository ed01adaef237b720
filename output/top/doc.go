// Package top shows the agent's rates live in a terminal, by client: the subcommand
// top. It reads what the agent publishes on its socket, and who is connected from where its
// caller says.
//
// A model holds what the table shows and is free of input and output: reports and
// keys go in, lines come out. [Top] runs it on a terminal; [Top.Once] and
// [Top.Stream] write the same data as text and as JSON.
package top
