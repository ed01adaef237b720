package accounting

import "fmt"

// InvalidError describes the value of a setting that is not valid. A value that was read
// from a file may be a password: then show only Want, which errors.As finds.
type InvalidError struct {
	Name string // of the setting
	Text string // the value
	Want string // what it should be; nothing of the value is in it
}

// Error names the setting, the value and what it should be.
func (e *InvalidError) Error() string { return fmt.Sprintf("%s %q: want %s", e.Name, e.Text, e.Want) }
