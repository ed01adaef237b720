// Package spelling finds the word that somebody meant.
package spelling

import (
	"strings"

	"github.com/xrash/smetrics"
)

// Closest returns the known word that is most similar to the given one, or "" if
// none is similar.
func Closest(word string, known []string) string {
	const (
		boostThreshold, prefixSize = 0.7, 4 // as the algorithm's author chose them
		enough                     = 0.8
	)
	best, similarity := "", enough
	for _, candidate := range known {
		s := smetrics.JaroWinkler(strings.ToLower(word), strings.ToLower(candidate), boostThreshold, prefixSize)
		if len(candidate) > 1 && s > similarity {
			best, similarity = candidate, s
		}
	}
	return best
}

// DidYouMean returns the question that follows a word that is not known: " (did you mean
// WORD?)", or "" without a suggestion.
func DidYouMean(suggestion string) string {
	if suggestion == "" {
		return ""
	}
	return " (did you mean " + suggestion + "?)"
}
