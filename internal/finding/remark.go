package finding

import (
	"context"
	"errors"
	"log/slog"
	"slices"
)

// Remark is something that the user should know.
type Remark struct {
	error
	Level slog.Level // at which it is logged
}

// Unwrap returns the error without its level.
func (r Remark) Unwrap() error { return r.error }

// Warnings returns errors as remarks.
func Warnings(errs ...error) (remarks []Remark) {
	for _, err := range errs {
		remarks = append(remarks, Remark{err, slog.LevelWarn})
	}
	return remarks
}

// Remarks returns findings as remarks.
func Remarks(findings []Finding) (remarks []Remark) {
	for _, f := range findings {
		level := slog.LevelInfo
		if f.Level > Note {
			level = slog.LevelWarn
		}
		remarks = append(remarks, Remark{errors.New(f.Line()), level})
	}
	return remarks
}

// News logs remarks when they are new: once for as long as they stay.
type News struct{ last []string }

// Log logs those of the remarks that were not among the last ones.
func (n *News) Log(log *slog.Logger, remarks []Remark) {
	var said []string
	for _, remark := range remarks {
		text := remark.Error()
		if !slices.Contains(n.last, text) && !slices.Contains(said, text) {
			log.Log(context.Background(), remark.Level, text)
		}
		said = append(said, text)
	}
	n.last = said
}
