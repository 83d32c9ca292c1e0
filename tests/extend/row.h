SUBOP(0x80NN, same_frame, 0, 32, 0xfe0000fc, 24, 1, 0, READS, SAFE_WHEN_OWNED,
      "tells what a monitor remapped in its views; owned: its own and the host map",
      same_frame_in_own_views_only, "Tells whether two gfns of a view show the same frame.")
