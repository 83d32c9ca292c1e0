static void compares_a_monitors_frames(void)
{
    uint8_t same = 0xff;

    set_up();
    ask(ASK_REMAP, theirs, gfn_of(page), gfn_of(other));
    expect(altp2m_stub_same_frame(&altp2m_self, theirs, gfn_of(page), gfn_of(other), &same),
           of_facet(0, -XEN_EINVAL));
    expect(same, policy == OPEN ? 1 : 0xff);
    tear_down();
}
