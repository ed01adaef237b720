// Package settings is what users can set. Each [Key] is a flag, an environment variable
// and a key of the settings file alike, with one default and one way to be read;
// [Inputs.Load] takes the values from where they are given and returns them typed, as
// [Settings].
//
// The package knows nothing of the library that reads the command line.
package settings
