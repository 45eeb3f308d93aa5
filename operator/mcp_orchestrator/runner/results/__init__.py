"""What tasks come to: answers, packed, recorded and read again."""
