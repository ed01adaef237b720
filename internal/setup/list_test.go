package setup

import (
	"path/filepath"
	"testing"

	"ssmonitor/integration/presence"
)

// TestOtherListByARelativePath has an agent that follows the list.
func TestOtherListByARelativePath(t *testing.T) {
	directory := t.TempDir()
	t.Chdir(directory)
	agent := &presence.Agent{List: filepath.Join(directory, "ports")}
	if note, err := otherList(agent, "ports"); note != nil || err != nil {
		t.Errorf("of the agent's list: got %v, %v", note, err)
	}
	if note, err := otherList(agent, "another"); note == nil || err != nil {
		t.Errorf("of another list: got %v, %v, want a note", note, err)
	}
}
