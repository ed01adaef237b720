package setup

import (
	"errors"
	"log/slog"
	"path/filepath"
	"slices"

	"ssmonitor/integration/sources"
	"ssmonitor/internal/landlock"
)

// enclosure keeps a process that parses what others write from opening any file but
// those that it needs: a mount namespace would not follow the settings.
type enclosure struct {
	restrict func(map[string]landlock.Access) error // nil: there is no enclosure
	entered  bool
	places   []sources.Place // inside
}

// kernelFiles are what the process reads of the kernel, and of the machine's time zone.
var kernelFiles = []string{"/proc", "/sys", "/etc/localtime", "/usr/share/zoneinfo"}

// enter leaves the process the places, and the directory of the list to write to. It
// fails with ErrAgain if the process is enclosed already and they are outside.
func (e *enclosure) enter(log *slog.Logger, places []sources.Place, list string) error {
	if e.restrict == nil {
		return nil
	}
	if e.entered {
		return e.admit(places)
	}
	paths := map[string]landlock.Access{filepath.Dir(list): landlock.Read | landlock.Write}
	for _, path := range kernelFiles {
		paths[path] |= landlock.Read
	}
	for _, place := range places {
		paths[place.Path] |= landlock.Read
		if place.Database {
			paths[place.Path] |= landlock.Write
		}
	}
	err := e.restrict(paths)
	if errors.Is(err, errors.ErrUnsupported) {
		// Another place is a reason to start again even so: the unit made the
		// directories of databases writable when it began.
		log.Info("this process could read other files too: the kernel has no Landlock")
		err = nil
	}
	e.entered, e.places = err == nil, places
	return err
}

// admit fails with ErrAgain if the enclosure hides one of the places.
func (e *enclosure) admit(places []sources.Place) error {
	if !e.entered {
		return nil
	}
	same := make(map[sources.Place]bool, len(e.places)) // most are, and there may be thousands
	for _, place := range e.places {
		same[place] = true
	}
	for _, place := range places {
		if !same[place] && !place.Optional && !slices.ContainsFunc(e.places, func(inside sources.Place) bool { return inside.Holds(place) }) {
			return ErrAgain
		}
	}
	return nil
}
