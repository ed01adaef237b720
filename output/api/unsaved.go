package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/internal/serving"
	"ssmonitor/internal/terminal"
)

// Unsaved is what an agent has read and not saved yet, for a process that reads the ledger
// itself.
type Unsaved struct {
	Ledger string // identifies the state directory, as package store does
	accounting.Unsaved
}

// The format of GET /v1/unsaved. It is for the commands of this version; one of another
// version goes without.
type (
	jsonUnsaved struct {
		Ledger   string           `json:"ledger"`
		Time     time.Time        `json:"time"`
		Ports    []jsonPortName   `json:"ports"`
		Accounts []jsonNewAccount `json:"accounts"`
	}
	jsonPortName struct {
		Port uint16 `json:"port"`
		Name string `json:"name,omitempty"`
	}
	jsonNewAccount struct {
		Port      uint16               `json:"port"`
		Protocol  accounting.Protocol  `json:"protocol"`  // its number, as in IP
		Direction accounting.Direction `json:"direction"` // 0 in, 1 out
		UsageCount
		Gains []jsonGain `json:"gains"`
	}
	jsonGain struct {
		Time time.Time `json:"time"`
		UsageCount
	}
)

// NewUnsavedHandler answers GET /v1/unsaved with the JSON of [WriteUnsaved].
func NewUnsavedHandler(source func(context.Context) (*Unsaved, error), now func() time.Time, log *slog.Logger) http.Handler {
	shared := serving.NewShared(source, 0, now)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		ctx, cancel := context.WithTimeout(req.Context(), serving.ReadTimeout)
		defer cancel()
		shared.Read(ctx, w, func(unsaved *Unsaved, err error) {
			if err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
			setJSONHeader(w.Header())
			if err := WriteUnsaved(w, unsaved); err != nil {
				log.Debug("writing a response failed", "path", req.URL.Path, "error", err)
			}
		})
	})
}

// WriteUnsaved writes what is not saved as one JSON object.
func WriteUnsaved(w io.Writer, unsaved *Unsaved) error {
	value := jsonUnsaved{Ledger: unsaved.Ledger, Time: unsaved.Time, Ports: []jsonPortName{}, Accounts: []jsonNewAccount{}}
	for _, port := range unsaved.Ports {
		value.Ports = append(value.Ports, jsonPortName{port.Number, port.Name})
	}
	gains := unsaved.Gains
	for _, account := range unsaved.Accounts {
		line := jsonNewAccount{account.Key.Port, account.Key.Protocol, account.Key.Direction, usageCount(account.Total), []jsonGain{}}
		for len(gains) > 0 && gains[0].Key == account.Key {
			line.Gains = append(line.Gains, jsonGain{gains[0].Time, usageCount(gains[0].Count)})
			gains = gains[1:]
		}
		value.Accounts = append(value.Accounts, line)
	}
	return terminal.NewJSONEncoder(w).Encode(value)
}

func usageCount(count accounting.Count) UsageCount { return UsageCount{count.Bytes, count.Packets} }

// ReadUnsaved reads what [WriteUnsaved] has written.
func ReadUnsaved(r io.Reader) (*Unsaved, error) {
	var value jsonUnsaved
	if err := json.NewDecoder(io.LimitReader(r, maxJSON)).Decode(&value); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("reading what is not saved as JSON: %w", err)
	}
	unsaved := &Unsaved{Ledger: value.Ledger}
	unsaved.Time = value.Time
	for _, port := range value.Ports {
		unsaved.Ports = append(unsaved.Ports, accounting.Port{Number: port.Port, Name: port.Name})
	}
	for _, line := range value.Accounts {
		key := accounting.Key{Port: line.Port, Protocol: line.Protocol, Direction: line.Direction}
		if key.Direction > accounting.Out || line.Bytes > math.MaxInt64 || line.Packets > math.MaxInt64 {
			return nil, fmt.Errorf("reading what is not saved: port %d: want direction 0 or 1, and counts of 63 bits", line.Port)
		}
		unsaved.Accounts = append(unsaved.Accounts, accounting.Account{Key: key, Total: line.count()})
		for _, gain := range line.Gains {
			unsaved.Gains = append(unsaved.Gains, accounting.Gain{Time: gain.Time, Key: key, Count: gain.count()})
		}
	}
	slices.SortFunc(unsaved.Accounts, func(a, b accounting.Account) int { return a.Key.Compare(b.Key) })
	slices.SortStableFunc(unsaved.Gains, func(a, b accounting.Gain) int { return a.Key.Compare(b.Key) })
	return unsaved, nil
}

func (c UsageCount) count() accounting.Count {
	return accounting.Count{Packets: c.Packets, Bytes: c.Bytes}
}
