"""Who is in which picture: folders of people, training lists, pairs, CelebA."""
